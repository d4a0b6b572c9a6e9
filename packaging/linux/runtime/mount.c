/* Mounts the image by FUSE, by libfuse and libsquashfuse, without privileges: fusermount3 does the mounting. */
#define _GNU_SOURCE
#define FUSE_USE_VERSION 31
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <squashfuse/ll.h>

#define TRY_AGAIN 500 /* ms between attempts to unmount what is still in use */

static const int IGNORED[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE};

static const struct fuse_lowlevel_ops OPERATIONS = {
    .getattr = sqfs_ll_op_getattr,
    .opendir = sqfs_ll_op_opendir,
    .releasedir = sqfs_ll_op_releasedir,
    .readdir = sqfs_ll_op_readdir,
    .lookup = sqfs_ll_op_lookup,
    .open = sqfs_ll_op_open,
    .create = sqfs_ll_op_create,
    .release = sqfs_ll_op_release,
    .read = sqfs_ll_op_read,
    .readlink = sqfs_ll_op_readlink,
    .forget = sqfs_ll_op_forget,
    .statfs = stfs_ll_op_statfs,
};

static int helper_is_there(void)
{
    char path[4096];
    const char *search = getenv("PATH");
    if (geteuid() == 0)
        return 1;
    for (char *rest = strdupa(search ? search : "/usr/bin:/bin"), *folder; rest && (folder = strsep(&rest, ":"));) {
        snprintf(path, sizeof path, "%s/fusermount3", folder);
        if (!access(path, X_OK))
            return 1;
    }
    return 0;
}

/* Not lazily, unlike libfuse does it: a process that was started from the mount and outlives the first one keeps it. The
 * helper runs beside the loop, because unmounting asks the file system itself. */
static pid_t start_unmount(const char *point)
{
    pid_t helper = fork();
    if (helper == 0) {
        for (size_t i = 0; i < sizeof IGNORED / sizeof *IGNORED; i++)
            signal(IGNORED[i], SIG_DFL);
        if (geteuid() == 0)
            _exit(umount2(point, 0) ? 1 : 0);
        execlp("fusermount3", "fusermount3", "-u", "-q", "--", point, (char *)NULL);
        _exit(1);
    }
    return helper;
}

static void serve(struct fuse_session *session, int first, const char *point)
{
    struct fuse_buf buffer = {0};
    struct pollfd waited[2] = {{fuse_session_fd(session), POLLIN, 0}, {first, POLLIN, 0}};
    pid_t helper = 0;
    while (!fuse_session_exited(session)) {
        int ready = poll(waited, 2, waited[1].fd < 0 ? TRY_AGAIN : -1);
        if (ready < 0 && errno != EINTR)
            break;
        if (ready > 0 && waited[1].revents)
            waited[1].fd = -1; /* it has ended */
        if (waited[0].revents) {
            int got = fuse_session_receive_buf(session, &buffer);
            if (got == -EINTR)
                continue;
            if (got <= 0)
                break; /* unmounted */
            fuse_session_process_buf(session, &buffer);
        }
        if (helper > 0 && waitpid(helper, NULL, WNOHANG) == 0)
            continue;
        if (waited[1].fd < 0 && (helper == 0 || ready == 0))
            helper = start_unmount(point);
    }
    if (helper > 0)
        waitpid(helper, NULL, 0);
    free(buffer.mem);
}

static void server(const char *image, uint64_t offset, const char *point, int first, int started)
{
    char *words[] = {"burrow", "-o", "ro,nosuid,nodev,fsname=burrow.AppImage,subtype=burrow.AppImage", NULL};
    struct fuse_args arguments = FUSE_ARGS_INIT(3, words);
    struct fuse_lowlevel_ops operations = OPERATIONS;
    sqfs_ll_chan channel = {0};
    int null = open("/dev/null", O_RDWR);
    setsid();
    prctl(PR_SET_NAME, "burrow-mount");
    /* It ends when its users have: what ends them may be sent to it too. */
    for (size_t i = 0; i < sizeof IGNORED / sizeof *IGNORED; i++)
        signal(IGNORED[i], SIG_IGN);
    if (chdir("/")) {
    }
    /* libfuse's complaint of a machine without FUSE is none of the person's: the image is extracted then. */
    for (int standard = 0; standard < 3; standard++)
        dup2(null, standard);
    sqfs_ll *files = sqfs_ll_open(image, offset);
    if (!files || sqfs_ll_mount(&channel, point, &arguments, &operations, sizeof operations, files))
        _exit(1);
    if (write(started, "", 1) != 1)
        _exit(1);
    close(started);
    serve(channel.session, first, point);
    fuse_session_destroy(channel.session);
    rmdir(point);
    _exit(0);
}

int mount_image(const char *image, uint64_t offset, const char *point)
{
    int started[2];
    char byte;
    if (access("/dev/fuse", R_OK | W_OK) || !helper_is_there())
        return -1;
    /* Linux 5.3 has it. A descriptor in the first process would do too, but all its children would hold it. */
    int first = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (first < 0 || pipe2(started, O_CLOEXEC))
        return -1;
    pid_t between = fork();
    if (between < 0)
        return -1;
    if (between == 0) {
        /* It ends at once, so that Burrow has no child that it does not know. */
        close(started[0]);
        if (fork() == 0)
            server(image, offset, point, first, started[1]);
        _exit(0);
    }
    waitpid(between, NULL, 0);
    close(first);
    close(started[1]);
    ssize_t got = read(started[0], &byte, 1);
    close(started[0]);
    return got == 1 ? 0 : -1;
}

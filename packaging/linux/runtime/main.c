/* The program at the beginning of Burrow's AppImage, type 2 (https://github.com/AppImage/AppImageSpec/blob/master/draft.md):
 * it mounts the file system that follows it in the same file, and becomes AppRun there.
 *
 * Without FUSE it extracts the files once, into the person's cache. */
#define _GNU_SOURCE
#include "runtime.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile const struct payload PAYLOAD = {"burrow-payload\n", 0, 0, {0}};

static const char HELP[] =
    "Options of the AppImage; all others are Burrow's own:\n"
    "  --appimage-extract [PATTERN]    write its files below ./squashfs-root, or those that match\n"
    "  --appimage-extract-and-run      run from the extracted files, as without FUSE; also APPIMAGE_EXTRACT_AND_RUN=1\n"
    "  --appimage-mount                mount its files, say where, and wait for Ctrl+C\n"
    "  --appimage-offset               say where the file system begins in this file\n"
    "  --appimage-verify               compare this file with what was built\n"
    "  --appimage-version              say which runtime this is\n";

/* Decompressors of other images than ours, which libsquashfuse names: without them lzo's licence does not apply. */
int LZ4_decompress_safe(const char *s, char *t, int n, int m) { return (void)s, (void)t, (void)n, (void)m, -1; }
int lzo1x_decompress_safe(const void *s, unsigned long n, void *t, unsigned long *m, void *w)
{
    return (void)s, (void)n, (void)t, (void)m, (void)w, -1;
}
int uncompress(void *t, unsigned long *m, const void *s, unsigned long n) { return (void)t, (void)m, (void)s, (void)n, -1; }
int lzma_stream_buffer_decode(void) { return 11; }

static int is_whole(const char *image, const struct payload *payload)
{
    struct stat status;
    if (!stat(image, &status) && (uint64_t)status.st_size >= payload->offset + payload->size)
        return 1;
    fprintf(stderr, "burrow: %s is not complete. Download it again.\n", image);
    return 0;
}

/* Mounts it on a new folder: 0, or -1 if this machine cannot. */
static int mounted(const char *image, const struct payload *payload, char *folder, size_t size)
{
    const char *base = getenv("TMPDIR");
    if (snprintf(folder, size, "%s/.mount_burrowXXXXXX", base && *base == '/' ? base : "/tmp") >= (int)size)
        return -1;
    if (!mkdtemp(folder))
        return -1;
    if (!mount_image(image, payload->offset, folder))
        return 0;
    rmdir(folder);
    return -1;
}

static int wait_mounted(const char *image, const struct payload *payload)
{
    char folder[PATH_MAX];
    sigset_t ends;
    int which;
    if (mounted(image, payload, folder, sizeof folder) < 0) {
        fputs("burrow: The files cannot be mounted on this machine: it needs FUSE (the package fuse3).\n", stderr);
        return 1;
    }
    puts(folder);
    fflush(stdout);
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    sigwait(&ends, &which);
    return 0;
}

static int is_set(const char *name)
{
    const char *value = getenv(name);
    return value && *value && strcmp(value, "0");
}

static int run(const char *image, const struct payload *payload, int extracted, char **words)
{
    char folder[PATH_MAX - 16], program[PATH_MAX], here[PATH_MAX];
    if (extracted || mounted(image, payload, folder, sizeof folder) < 0) {
        if (cached_folder(image, payload, folder, sizeof folder))
            return 1;
    }
    setenv("APPIMAGE", image, 1);
    setenv("APPDIR", folder, 1);
    setenv("ARGV0", words[0], 1);
    if (getcwd(here, sizeof here))
        setenv("OWD", here, 1);
    snprintf(program, sizeof program, "%s/AppRun", folder);
    /* X11 names windows by it, and desktops find the entry by the name. */
    words[0] = "burrow";
    execv(program, words);
    fprintf(stderr, "burrow: %s: %s\n", program, strerror(errno));
    return 1;
}

int main(int count, char **words)
{
    struct payload payload;
    char image[PATH_MAX];
    const char *option = count > 1 && !strncmp(words[1], "--appimage-", 11) ? words[1] + 11 : "";
    memcpy(&payload, (const void *)&PAYLOAD, sizeof payload);
    if (!realpath("/proc/self/exe", image)) {
        fprintf(stderr, "burrow: /proc/self/exe: %s\n", strerror(errno));
        return 1;
    }
    if (!strcmp(option, "help"))
        return fputs(HELP, stdout) < 0;
    if (!strcmp(option, "version"))
        return puts("Burrow's AppImage runtime 1") < 0;
    if (!strcmp(option, "offset"))
        return printf("%llu\n", (unsigned long long)payload.offset) < 0;
    if (!is_whole(image, &payload))
        return 1;
    if (!strcmp(option, "verify"))
        return check_payload(image, &payload) ? 1 : puts("OK") < 0;
    if (!strcmp(option, "mount"))
        return wait_mounted(image, &payload);
    if (!strcmp(option, "extract")) {
        if (check_payload(image, &payload))
            return 1;
        if (mkdir("squashfs-root", 0755)) {
            /* In a folder that others write to, it may lead somewhere else. */
            struct stat status;
            if (errno != EEXIST || lstat("squashfs-root", &status)) {
                perror("burrow: squashfs-root");
                return 1;
            }
            if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid()) {
                fputs("burrow: squashfs-root is not a folder of yours. Remove it, or go to another folder.\n", stderr);
                return 1;
            }
        }
        return extract(image, payload.offset, "squashfs-root", words[2], 1) ? 1 : 0;
    }
    int extracted = is_set("APPIMAGE_EXTRACT_AND_RUN");
    if (!strcmp(option, "extract-and-run")) {
        extracted = 1;
        words[1] = words[0];
        words++;
    } else if (*option) {
        fprintf(stderr, "burrow: there is no option %s\n%s", words[1], HELP);
        return 2;
    }
    return run(image, &payload, extracted, words);
}

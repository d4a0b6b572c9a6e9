/* Writes the files of the image to a folder, by libsquashfuse. */
#define _GNU_SOURCE
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <squashfuse/squashfuse.h>

static char chunk[1 << 17];

static int complain(const char *path)
{
    fprintf(stderr, "burrow: %s: %s\n", path, strerror(errno));
    return -1;
}

static int write_all(int file, const char *data, size_t size)
{
    while (size) {
        ssize_t written = write(file, data, size);
        if (written < 0)
            return -1;
        data += written;
        size -= (size_t)written;
    }
    return 0;
}

static int write_file(sqfs *fs, sqfs_inode *inode, const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, inode->base.mode & 0755);
    if (file < 0)
        return complain(path);
    for (sqfs_off_t at = 0; at < (sqfs_off_t)inode->xtra.reg.file_size;) {
        sqfs_off_t got = sizeof chunk;
        errno = EIO;
        if (sqfs_read_range(fs, inode, at, &got, chunk) || got <= 0 || write_all(file, chunk, (size_t)got)) {
            complain(path);
            close(file);
            return -1;
        }
        at += got;
    }
    return close(file) ? complain(path) : 0;
}

static int write_entry(sqfs *fs, sqfs_traverse *walk, const char *path)
{
    sqfs_inode inode;
    char target[PATH_MAX];
    size_t size = sizeof target;
    errno = EIO;
    if (sqfs_inode_get(fs, &inode, walk->entry.inode))
        return complain(path);
    if (S_ISDIR(inode.base.mode))
        return mkdir(path, 0755) && errno != EEXIST ? complain(path) : 0;
    if (S_ISREG(inode.base.mode))
        return write_file(fs, &inode, path);
    if (!S_ISLNK(inode.base.mode))
        return 0;
    if (sqfs_readlink(fs, &inode, target, &size) || symlink(target, path))
        return complain(path);
    return 0;
}

/* Makes the folders that lead to a path which was asked for alone. */
static void make_parents(char *path, size_t from)
{
    for (char *slash = strchr(path + from, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0755);
        *slash = '/';
    }
}

int extract(const char *image, uint64_t offset, const char *target, const char *pattern, int names)
{
    sqfs fs;
    sqfs_traverse walk;
    sqfs_err error = SQFS_OK;
    char path[PATH_MAX];
    int failed = 0;
    if (sqfs_open_image(&fs, image, offset))
        return -1;
    if (sqfs_traverse_open(&walk, &fs, sqfs_inode_root(&fs))) {
        fprintf(stderr, "burrow: %s: the image in it cannot be read\n", image);
        sqfs_destroy(&fs);
        return -1;
    }
    while (!failed && sqfs_traverse_next(&walk, &error)) {
        if (walk.dir_end)
            continue;
        if (pattern && fnmatch(pattern, walk.path, FNM_LEADING_DIR))
            continue;
        if (snprintf(path, sizeof path, "%s/%s", target, walk.path) >= (int)sizeof path) {
            errno = ENAMETOOLONG;
            failed = complain(walk.path);
            break;
        }
        if (pattern)
            make_parents(path, strlen(target) + 1);
        failed = write_entry(&fs, &walk, path);
        if (!failed && names)
            puts(path);
    }
    if (!failed && error) {
        fprintf(stderr, "burrow: %s: the image in it cannot be read\n", image);
        failed = -1;
    }
    sqfs_traverse_close(&walk);
    sqfs_destroy(&fs);
    return failed ? -1 : 0;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status, (void)kind, (void)place;
    return remove(path);
}

void remove_tree(const char *path) { nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT); }

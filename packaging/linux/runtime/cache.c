/* The image extracted to a folder of the person, for machines without FUSE. */
#define _GNU_SOURCE
#include "runtime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int complain(const char *path)
{
    fprintf(stderr, "burrow: %s: %s\n", path, strerror(errno));
    return -1;
}

int check_payload(const char *image, const struct payload *payload)
{
    char wanted[DIGEST_TEXT], found[DIGEST_TEXT] = "";
    FILE *file = fopen(image, "rbe");
    if (!file)
        return complain(image);
    digest_text(payload->sha256, wanted);
    int read = sha256_text(file, payload->offset, payload->size, found);
    fclose(file);
    if (!read && !strcmp(wanted, found))
        return 0;
    fprintf(stderr, "burrow: %s is damaged or was changed. Download it again.\n", image);
    return -1;
}

static int own_folder(const char *path)
{
    struct stat status;
    if (mkdir(path, 0700) && errno != EEXIST)
        return complain(path);
    if (lstat(path, &status))
        return complain(path);
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || status.st_mode & 022) {
        fprintf(stderr, "burrow: %s must be a folder of yours that nobody else can write to\n", path);
        return -1;
    }
    return 0;
}

/* Removes what other versions left there and no process uses: each holds a lock on its own. */
static void remove_others(const char *base, const char *mine)
{
    char path[PATH_MAX + 256];
    DIR *folder = opendir(base);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));) {
        size_t length = strlen(entry->d_name);
        if (length < 5 || strcmp(entry->d_name + length - 5, ".lock") || !strncmp(entry->d_name, mine, length - 5))
            continue;
        snprintf(path, sizeof path, "%s/%s", base, entry->d_name);
        int lock = open(path, O_RDWR | O_CLOEXEC);
        if (lock >= 0 && !flock(lock, LOCK_EX | LOCK_NB)) {
            path[strlen(path) - 5] = 0;
            remove_tree(path);
        }
        if (lock >= 0)
            close(lock);
    }
    closedir(folder);
}

static int runs_programs(const char *base)
{
    struct statvfs system;
    if (statvfs(base, &system) || !(system.f_flag & ST_NOEXEC))
        return 1;
    fprintf(stderr,
            "burrow: This machine has no FUSE, and %s is on a file system that runs no programs (noexec).\n"
            "        Set XDG_CACHE_HOME to a folder on another one, or install the package fuse3.\n",
            base);
    return 0;
}

int cached_folder(const char *image, const struct payload *payload, char *folder, size_t size)
{
    char base[PATH_MAX - 128], half[PATH_MAX], held[PATH_MAX], key[DIGEST_TEXT];
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache == '/')
        snprintf(base, sizeof base, "%s", cache);
    else if (home && *home == '/')
        snprintf(base, sizeof base, "%s/.cache", home);
    else {
        fputs("burrow: Set XDG_CACHE_HOME or HOME to the absolute path of a folder.\n", stderr);
        return -1;
    }
    if (strlen(base) + 20 >= sizeof base) {
        errno = ENAMETOOLONG;
        return complain(base);
    }
    mkdir(base, 0700);
    strcat(base, "/burrow-appimage");
    if (own_folder(base) || !runs_programs(base))
        return -1;
    digest_text(payload->sha256, key);
    key[32] = 0;
    snprintf(folder, size, "%s/%s", base, key);
    snprintf(held, sizeof held, "%s.lock", folder);
    /* Kept by the program that is started, so that another version does not remove its files. */
    int lock = open(held, O_RDWR | O_CREAT, 0600);
    if (lock < 0 || flock(lock, LOCK_SH))
        return complain(held);
    if (!access(folder, X_OK))
        return 0;
    if (check_payload(image, payload))
        return -1;
    snprintf(half, sizeof half, "%s/%s.XXXXXX", base, key);
    if (!mkdtemp(half))
        return complain(half);
    /* A folder with the final name is complete, whoever was faster. */
    if (extract(image, payload->offset, half, NULL, 0) || (rename(half, folder) && errno != EEXIST && errno != ENOTEMPTY)) {
        remove_tree(half);
        return -1;
    }
    if (!access(half, F_OK))
        remove_tree(half);
    remove_others(base, key);
    return 0;
}

/* What the parts of the AppImage's runtime share. */
#ifndef BURROW_RUNTIME_H
#define BURROW_RUNTIME_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Written into the finished program by packaging/linux/appimage.py: what follows the program in the file. */
struct payload {
    char marker[16];
    uint64_t offset;
    uint64_t size;
    uint8_t sha256[32];
};

#define DIGEST_TEXT 65 /* hexadecimal digits of a SHA-256 and the end of the text */

/* sha256.c: the digest of `size` bytes of `file` from `offset` on, as text; -1 when they cannot be read. */
int sha256_text(FILE *file, uint64_t offset, uint64_t size, char text[DIGEST_TEXT]);
void digest_text(const uint8_t digest[32], char text[DIGEST_TEXT]);

/* extract.c: writes what matches `pattern` (NULL: everything) below the existing folder `target`; 0 or -1 with a message. */
int extract(const char *image, uint64_t offset, const char *target, const char *pattern, int names);
/* Removes a folder and everything in it. */
void remove_tree(const char *path);

/* mount.c: mounts the image on the existing folder `point`, served by a process of its own until this process has ended and
 * nothing there is in use. 0, or -1: no FUSE here. */
int mount_image(const char *image, uint64_t offset, const char *point);

/* cache.c: the folder with the extracted image, made on the first start; 0 or -1 with a message. */
int cached_folder(const char *image, const struct payload *payload, char *folder, size_t size);
/* 0 when the image in the file is the one that was built, else -1 with a message. */
int check_payload(const char *image, const struct payload *payload);

#endif

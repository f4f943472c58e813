/* Random keys of 32 bytes in files that only their owner may read. All of it syncs: not on the loop. */
#ifndef LAPSED_SWEEP_KEY_FILE_H
#define LAPSED_SWEEP_KEY_FILE_H

#include "base/err.h"

enum { KEY_FILE_BYTES = 32 };

/* Reads the key; one of another length is ERR_IO. */
int key_file_read(const char *path, unsigned char ret_key[KEY_FILE_BYTES], struct err *err) MUST_CHECK;
/* Reads the key or, where there is no file, makes one (0400). */
int key_file_have(const char *path, unsigned char ret_key[KEY_FILE_BYTES], struct err *err) MUST_CHECK;
/* Overwrites and removes it. On a copy-on-write or flash medium the old bytes may remain for a while; the manual says so. */
int key_file_destroy(int folder, const char *file, struct err *err) MUST_CHECK;

#endif

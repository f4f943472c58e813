/* Text: a buffer that grows up to a maximum, numbers and tables as people read them, JSON strings, UTF-8. */
#ifndef LAPSED_BASE_TEXT_H
#define LAPSED_BASE_TEXT_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A NUL-terminated buffer on the heap. Zero-initialised it is empty and valid. Every buffer that input can grow has a
 * maximum: beyond it nothing is appended and `overflow` is set. */
struct buf {
    char *text; /* NULL while empty; else NUL-terminated */
    size_t length, room;
    size_t maximum; /* 0: 64 MiB */
    bool overflow;
};
void buf_free(struct buf *buf); /* for __attribute__((cleanup(buf_free))) too */
void buf_clear(struct buf *buf);
void buf_add(struct buf *buf, const char *text);
void buf_add_n(struct buf *buf, const char *text, size_t length);
void buf_add_char(struct buf *buf, char c);
void buf_add_integer(struct buf *buf, int64_t number); /* as text_integer */
void buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
/* text as a JSON string with its quotes; control characters, '"', '\\' escaped; invalid UTF-8 becomes U+FFFD. */
void buf_add_json(struct buf *buf, const char *text);
/* The text, never NULL. */
const char *buf_text(const struct buf *buf);

bool text_is_utf8(const char *bytes, size_t length);
/* How many bytes from the first on are printable ASCII that JSON needs no escape for. */
size_t text_plain_length(const char *bytes, size_t length);
bool text_equal(const char *a, const char *b);          /* NULL equals NULL only */
bool text_starts_with(const char *text, const char *prefix);
uint64_t text_hash(const char *bytes, size_t length); /* for tables in memory: FNV-1a, folded so that its low bits are mixed, too */
/* In decimal, somewhere in `room`; returns where. */
enum { TEXT_INTEGER_ROOM = sizeof "-9223372036854775808" };
const char *text_integer(int64_t number, char room[TEXT_INTEGER_ROOM]);
/* 1234567 -> "1,234,567". */
struct number_text { char text[32]; };
struct number_text text_number(int64_t number);
/* Columns that a terminal takes: code points (wide and combining characters are not told apart). */
size_t text_width(const char *text);
/* Copies at most size - 1 bytes and ends with NUL; returns false if it had to cut. */
bool text_copy(char *to, size_t size, const char *from);
/* 32 bytes as 64 hex digits and NUL. */
void text_hex(char to[65], const unsigned char bytes[32]);
/* Opens a regular file to read it (`folder`: AT_FDCWD or an open one; `flags`: O_NOFOLLOW or 0). Anything else is an error and
 * never waited for, as a FIFO would be. -1: errno is that of the call, 0 where it is no regular file. */
int text_open_file(int folder, const char *path, int flags, struct err *err) MUST_CHECK;
/* The whole file into a malloc'ed, NUL-terminated buffer; more than `maximum` bytes is an error. */
int text_read_file(const char *path, size_t maximum, char **ret_bytes, size_t *ret_length, struct err *err) MUST_CHECK;
/* All of it, by write() or a function like it: an interruption or a short write is gone on with. 0, or -1 with errno. */
int text_write_all(int fd, const char *bytes, size_t length, ssize_t (*put)(int fd, const void *bytes, size_t length)) MUST_CHECK;
/* Writes the file whole: a temporary file in the same folder, fsync, rename, fsync of the folder. */
int text_write_file(const char *path, const char *bytes, size_t length, unsigned mode, struct err *err) MUST_CHECK;
/* The same without the two syncs, for what need not outlive a crash. */
int text_replace_file(const char *path, const char *bytes, size_t length, unsigned mode, struct err *err) MUST_CHECK;

#endif

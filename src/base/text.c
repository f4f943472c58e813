#include "base/text.h"

#include "base/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEFAULT_MAXIMUM = 64 << 20 };

void buf_free(struct buf *buf) {
    free(buf->text);
    *buf = (struct buf){.maximum = buf->maximum};
}

void buf_clear(struct buf *buf) {
    buf->length = 0;
    buf->overflow = false;
    if (buf->text) buf->text[0] = '\0';
}

static bool buf_reserve(struct buf *buf, size_t more) {
    size_t maximum = buf->maximum ? buf->maximum : DEFAULT_MAXIMUM;
    if (more > maximum || buf->length + more > maximum) {
        buf->overflow = true;
        return false;
    }
    size_t needed = buf->length + more + 1;
    if (needed <= buf->room) return true;
    size_t room = buf->room ? buf->room * 2 : 256;
    while (room < needed) room *= 2;
    buf->text = xrealloc(buf->text, room);
    buf->room = room;
    return true;
}

void buf_add_n(struct buf *buf, const char *text, size_t length) {
    if (!buf_reserve(buf, length)) return;
    memcpy(buf->text + buf->length, text, length);
    buf->length += length;
    buf->text[buf->length] = '\0';
}

void buf_add(struct buf *buf, const char *text) { buf_add_n(buf, text, strlen(text)); }

void buf_add_char(struct buf *buf, char c) {
    if (!buf_reserve(buf, 1)) return;
    buf->text[buf->length++] = c;
    buf->text[buf->length] = '\0';
}

const char *text_integer(int64_t number, char room[TEXT_INTEGER_ROOM]) {
    char *at = room + TEXT_INTEGER_ROOM - 1;
    uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;
    *at = '\0';
    do *--at = (char)('0' + left % 10);
    while (left /= 10);
    if (number < 0) *--at = '-';
    return at;
}

void buf_add_integer(struct buf *buf, int64_t number) {
    char room[TEXT_INTEGER_ROOM];
    buf_add(buf, text_integer(number, room));
}

void buf_printf(struct buf *buf, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length >= 0 && buf_reserve(buf, (size_t)length)) {
        (void)vsnprintf(buf->text + buf->length, (size_t)length + 1, format, arguments);
        buf->length += (size_t)length;
    }
    va_end(arguments);
}

const char *buf_text(const struct buf *buf) { return buf->text ? buf->text : ""; }

/* Bytes of the UTF-8 sequence at `s` (at most `left`), 0 if it is invalid. Unicode 15, table 3-7. */
static size_t utf8_sequence(const unsigned char *s, size_t left) {
    if (s[0] < 0x80) return 1;
    size_t length = s[0] >= 0xc2 && s[0] <= 0xdf ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : 0;
    if (!length || length > left) return 0;
    for (size_t i = 1; i < length; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if (s[0] == 0xe0 && s[1] < 0xa0) return 0;
    if (s[0] == 0xed && s[1] > 0x9f) return 0;
    if (s[0] == 0xf0 && s[1] < 0x90) return 0;
    if (s[0] == 0xf4 && s[1] > 0x8f) return 0;
    return length;
}

/* Eight bytes at a time, where a byte's top bit comes up in one of the differences when it is a control character, a quote,
 * a backslash, 0x7f or none of ASCII, and in no other case first. */
size_t text_plain_length(const char *bytes, size_t length) {
    const uint64_t each = UINT64_C(0x0101010101010101);
    size_t at = 0;
    for (uint64_t eight; length - at >= 8; at += 8) {
        memcpy(&eight, bytes + at, sizeof eight);
        uint64_t odd = eight | (eight - each * 0x20) | ((eight ^ each * '"') - each) | ((eight ^ each * '\\') - each) | ((eight ^ each * 0x7f) - each);
        if (odd & each * 0x80) break;
    }
    while (at < length && (unsigned char)bytes[at] >= 0x20 && (unsigned char)bytes[at] < 0x7f && bytes[at] != '"' && bytes[at] != '\\') at++;
    return at;
}

static void add_json_escaped(struct buf *buf, const char *text, size_t left) {
    const unsigned char *s = (const unsigned char *)text;
    buf_add_char(buf, '"');
    while (left) {
        size_t plain = text_plain_length((const char *)s, left);
        buf_add_n(buf, (const char *)s, plain);
        s += plain;
        left -= plain;
        if (!left) break;
        size_t length = utf8_sequence(s, left);
        if (!length) {
            buf_add(buf, "\xef\xbf\xbd");
            length = 1;
        } else if (*s == '"' || *s == '\\') {
            buf_add_char(buf, '\\');
            buf_add_char(buf, (char)*s);
        } else if (*s == '\n') {
            buf_add(buf, "\\n");
        } else if (*s == '\t') {
            buf_add(buf, "\\t");
        } else if (*s < 0x20 || *s == 0x7f) {
            buf_printf(buf, "\\u%04x", *s);
        } else {
            buf_add_n(buf, (const char *)s, length);
        }
        s += length;
        left -= length;
    }
    buf_add_char(buf, '"');
}

/* Most text goes as it is. */
void buf_add_json(struct buf *buf, const char *text) {
    size_t length = strlen(text);
    if (text_plain_length(text, length) < length) {
        add_json_escaped(buf, text, length);
        return;
    }
    if (!buf_reserve(buf, length + strlen("\"\""))) return;
    char *to = buf->text + buf->length;
    to[0] = to[1 + length] = '"';
    memcpy(to + 1, text, length);
    to[1 + length + 1] = '\0';
    buf->length += length + strlen("\"\"");
}

bool text_is_utf8(const char *bytes, size_t length) {
    const unsigned char *s = (const unsigned char *)bytes;
    while (length) {
        size_t step = utf8_sequence(s, length);
        if (!step) return false;
        s += step;
        length -= step;
    }
    return true;
}

bool text_equal(const char *a, const char *b) { return a == b || (a && b && !strcmp(a, b)); }

bool text_starts_with(const char *text, const char *prefix) { return !strncmp(text, prefix, strlen(prefix)); }

uint64_t text_hash(const char *bytes, size_t length) {
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
    return hash ^ hash >> 32;
}

struct number_text text_number(int64_t number) {
    struct number_text result;
    char room[TEXT_INTEGER_ROOM];
    size_t out = 0;
    for (const char *digit = text_integer(number, room); *digit; digit++) {
        result.text[out++] = *digit;
        size_t left = strlen(digit + 1);
        if (left && left % 3 == 0 && *digit != '-') result.text[out++] = ',';
    }
    result.text[out] = '\0';
    return result;
}

size_t text_width(const char *text) {
    size_t width = 0;
    for (; *text; text++) width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

bool text_copy(char *to, size_t size, const char *from) {
    size_t length = strlen(from);
    bool whole = length < size;
    if (!whole) length = size - 1;
    memcpy(to, from, length);
    to[length] = '\0';
    return whole;
}

/* Sixteen bytes at a time, all of them by the same instruction. */
typedef unsigned char bytes16 __attribute__((vector_size(16)));

static bytes16 hex_digits(bytes16 halves) { return halves + '0' + ((bytes16)(halves > 9) & ('a' - '0' - 10)); }

void text_hex(char to[65], const unsigned char bytes[32]) {
    for (size_t i = 0; i < 32; i += sizeof(bytes16)) {
        bytes16 whole, text;
        memcpy(&whole, bytes + i, sizeof whole);
        const bytes16 high = hex_digits(whole >> 4), low = hex_digits(whole & 15);
        text = __builtin_shufflevector(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        memcpy(to + 2 * i, &text, sizeof text);
        text = __builtin_shufflevector(high, low, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        memcpy(to + 2 * i + sizeof text, &text, sizeof text);
    }
    to[64] = '\0';
}

static void close_file(const int *fd) {
    if (*fd >= 0) (void)close(*fd);
}

int text_open_file(int folder, const char *path, int flags, struct err *err) {
    struct stat stat;
    int fd = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags), reason = errno;
    if (fd < 0) {
        if (reason == ELOOP && flags & O_NOFOLLOW) (void)err_set(err, ERR_IO, "%s is a symbolic link, not a file", path);
        else (void)err_set_errno(err, reason, "cannot open %s", path);
        errno = reason;
        return -1;
    }
    reason = fstat(fd, &stat) ? errno : 0;
    if (!reason && S_ISREG(stat.st_mode)) return fd;
    (void)(reason ? err_set_errno(err, reason, "cannot read %s", path) : err_set(err, ERR_IO, "%s is not a regular file", path));
    (void)close(fd);
    errno = reason;
    return -1;
}

int text_read_file(const char *path, size_t maximum, char **ret_bytes, size_t *ret_length, struct err *err) {
    __attribute__((cleanup(close_file))) int fd = text_open_file(AT_FDCWD, path, 0, err);
    if (fd < 0) return -1;
    __attribute__((cleanup(buf_free))) struct buf content = {.maximum = maximum};
    char chunk[65536];
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_set_errno(err, errno, "cannot read %s", path);
        if (!got) break;
        buf_add_n(&content, chunk, (size_t)got);
        if (content.overflow) return err_set(err, ERR_IO, "%s is larger than %zu bytes", path, maximum);
    }
    *ret_length = content.length;
    *ret_bytes = content.text ? content.text : xstrdup("");
    content.text = NULL;
    return 0;
}

int text_write_all(int fd, const char *bytes, size_t length, ssize_t (*put)(int fd, const void *bytes, size_t length)) {
    while (length) {
        ssize_t written = put(fd, bytes, length);
        if (written < 0 && errno == EINTR) continue;
        if (written == 0) errno = EIO;
        if (written <= 0) return -1;
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

static int sync_folder_of(const char *path) {
    char folder[4096];
    if (!text_copy(folder, sizeof folder, path)) return -1;
    char *slash = strrchr(folder, '/');
    if (!slash) (void)text_copy(folder, sizeof folder, ".");
    else if (slash == folder) slash[1] = '\0';
    else *slash = '\0';
    __attribute__((cleanup(close_file))) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -1 : fsync(fd);
}

static int replace_file(const char *path, const char *bytes, size_t length, unsigned mode, bool sync, struct err *err) {
    char temporary[4096];
    int needed = snprintf(temporary, sizeof temporary, "%s.new", path);
    if (needed < 0 || (size_t)needed >= sizeof temporary) return err_set(err, ERR_IO, "%s: the name is too long", path);
    (void)unlink(temporary); /* of a crash: with its own mode, which may not even let its owner write */
    __attribute__((cleanup(close_file))) int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, (mode_t)mode);
    if (fd < 0) return err_set_errno(err, errno, "cannot write %s", temporary);
    if (text_write_all(fd, bytes, length, write) || (sync && fsync(fd))) {
        int reason = errno;
        (void)unlink(temporary);
        return err_set_errno(err, reason, "cannot write %s", temporary);
    }
    if (rename(temporary, path) || (sync && sync_folder_of(path))) return err_set_errno(err, errno, "cannot write %s", path);
    return 0;
}

int text_write_file(const char *path, const char *bytes, size_t length, unsigned mode, struct err *err) {
    return replace_file(path, bytes, length, mode, true, err);
}

int text_replace_file(const char *path, const char *bytes, size_t length, unsigned mode, struct err *err) {
    return replace_file(path, bytes, length, mode, false, err);
}

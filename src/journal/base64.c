#include "journal/base64.h"

#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void write_group(char to[4], const unsigned char *bytes, size_t length) {
    unsigned value = (unsigned)bytes[0] << 16 | (length > 1 ? (unsigned)bytes[1] << 8 : 0) | (length > 2 ? bytes[2] : 0);
    for (size_t i = 0; i < 4; i++) to[i] = i <= length ? digits[value >> (18 - 6 * i) & 63] : '=';
}

void base64_add(struct buf *to, const unsigned char *bytes, size_t length) {
    for (size_t at = 0; at < length; at += 3) {
        char group[4];
        write_group(group, bytes + at, length - at < 3 ? length - at : 3);
        buf_add_n(to, group, sizeof group);
    }
}

static bool read_group(const char *text, unsigned char bytes[3]) {
    unsigned value = 0;
    for (size_t i = 0; i < 4; i++) {
        const char *digit = text[i] == '=' ? digits : memchr(digits, text[i], sizeof digits - 1);
        if (!digit) return false;
        value = value << 6 | (unsigned)(digit - digits);
    }
    bytes[0] = (unsigned char)(value >> 16);
    bytes[1] = (unsigned char)(value >> 8);
    bytes[2] = (unsigned char)value;
    return true;
}

bool base64_read(const char *text, size_t length, unsigned char *ret_bytes, size_t expected) {
    if (length != (expected + 2) / 3 * 4) return false;
    for (size_t at = 0; at < expected; at += 3) {
        size_t n = expected - at < 3 ? expected - at : 3;
        unsigned char bytes[3];
        char again[4];
        if (!read_group(text + at / 3 * 4, bytes)) return false;
        write_group(again, bytes, n);
        if (memcmp(again, text + at / 3 * 4, sizeof again) != 0) return false;
        memcpy(ret_bytes + at, bytes, n);
    }
    return true;
}

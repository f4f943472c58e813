/* Base64 (RFC 4648 section 4, padded), read strictly: only the one text that base64_add would have written. */
#ifndef LAPSED_JOURNAL_BASE64_H
#define LAPSED_JOURNAL_BASE64_H

#include "base/text.h"

void base64_add(struct buf *to, const unsigned char *bytes, size_t length);
/* The bytes of `text`; false unless there are exactly `expected` of them. */
bool base64_read(const char *text, size_t length, unsigned char *ret_bytes, size_t expected);

#endif

#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

PRINTF_LIKE(3, 0)
static void err_print(struct err *err, enum err_code code, const char *format, va_list arguments) {
    err->code = code;
    err->detail[0] = '\0';
    (void)vsnprintf(err->text, sizeof err->text, format, arguments);
}

int err_set(struct err *err, enum err_code code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    err_print(err, code, format, arguments);
    va_end(arguments);
    return -1;
}

int err_set_errno(struct err *err, int errno_value, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    err_print(err, ERR_IO, format, arguments);
    va_end(arguments);
    size_t used = strlen(err->text);
    char reason[128];
    (void)snprintf(err->text + used, sizeof err->text - used, ": %s",
                   strerror_r(errno_value, reason, sizeof reason));
    return -1;
}

int err_within(struct err *err, const char *format, ...) {
    char noun[sizeof err->text];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(noun, sizeof noun, format, arguments);
    va_end(arguments);
    size_t length = strlen(noun);
    if (length + 2 >= sizeof err->text) return -1;
    size_t room = sizeof err->text - length - 2;
    size_t old = strnlen(err->text, room - 1);
    memmove(err->text + length + 2, err->text, old);
    err->text[length + 2 + old] = '\0';
    memcpy(err->text, noun, length);
    memcpy(err->text + length, ": ", 2);
    return -1;
}

const char *err_code_name(enum err_code code) {
    switch (code) {
    case ERR_NONE: return "none";
    case ERR_CONFIG: return "config";
    case ERR_REFUSED: return "refused";
    case ERR_UNAVAILABLE: return "unavailable";
    case ERR_UNKNOWN: return "unknown";
    case ERR_USAGE: return "usage";
    case ERR_IO: return "io";
    case ERR_BUG: break;
    }
    return "bug";
}

int err_exit_status(enum err_code code) {
    switch (code) {
    case ERR_NONE: return EX_OK;
    case ERR_CONFIG: return EX_CONFIG;
    case ERR_REFUSED: return EX_NOPERM;
    case ERR_UNAVAILABLE:
    case ERR_UNKNOWN: return EX_TEMPFAIL;
    case ERR_USAGE: return EX_USAGE;
    case ERR_IO: return EX_IOERR;
    case ERR_BUG: break;
    }
    return EX_SOFTWARE;
}

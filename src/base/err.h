/* Errors: a function that can fail returns 0 or -1 and fills the caller's struct err. Each level that knows
 * something adds its noun in front, once; only the top logs. Texts are lower case, name what failed, on what, and
 * what to do; they never hold personal data, keys, SQL values or a server's own error text. */
#ifndef LAPSED_BASE_ERR_H
#define LAPSED_BASE_ERR_H

/* What the caller has to do about it. */
enum err_code {
    ERR_NONE = 0,
    ERR_CONFIG,      /* a person must correct the configuration or the schedule */
    ERR_REFUSED,     /* the other side refused for good: do not retry, report */
    ERR_UNAVAILABLE, /* nothing was applied: retry later */
    ERR_UNKNOWN,     /* the answer was lost: it may have been applied; ask before acting again */
    ERR_USAGE,       /* the question itself makes no sense: ask another one */
    ERR_IO,          /* a file of ours could not be read or written */
    ERR_BUG,         /* cannot happen */
};

struct err {
    enum err_code code;
    char detail[16]; /* SQLSTATE or a driver's number, else "": safe to journal */
    char text[1000];
};

#define PRINTF_LIKE(format_index, first) __attribute__((format(printf, format_index, first)))
#define MUST_CHECK __attribute__((warn_unused_result))

/* Fills err and returns -1. */
int err_set(struct err *err, enum err_code code, const char *format, ...) PRINTF_LIKE(3, 4);
/* As err_set with ": " and the text of errno_value behind it (code ERR_IO). */
int err_set_errno(struct err *err, int errno_value, const char *format, ...) PRINTF_LIKE(3, 4);
/* Puts "noun: " in front of the text and returns -1; code and detail stay. */
int err_within(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);
/* Names the code as the journal does: "config", "refused", "unavailable", "unknown", "usage", "io", "bug". */
const char *err_code_name(enum err_code code);
/* The sysexits.h status for a program that ends with this error: 78, 77, 75, 75, 64, 74, 70. */
int err_exit_status(enum err_code code);

#endif

#include "base/log.h"

#include "base/time.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static const char *program_name = "lapsed";
static enum log_level least_level = LOG_LEVEL_INFO;
static bool for_systemd;

void log_open(const char *program, enum log_level least) {
    program_name = program;
    least_level = least;
    for_systemd = getenv("JOURNAL_STREAM") != NULL;
}

void log_line(enum log_level level, const char *format, ...) {
    static const char *const words[] = {[LOG_LEVEL_ERROR] = "error: ", [LOG_LEVEL_WARNING] = "warning: ",
                                        [LOG_LEVEL_NOTICE] = "", [LOG_LEVEL_INFO] = "", [LOG_LEVEL_DEBUG] = "debug: "};
    if (level > least_level) return;
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* One call a line: lines of several threads do not mix. */
    if (for_systemd) {
        (void)fprintf(stderr, "<%d>%s%s\n", (int)level, words[level], text);
    } else {
        struct time_text now = time_format(time_now_us());
        (void)fprintf(stderr, "%.19sZ %s: %s%s\n", now.text, program_name, words[level], text);
    }
}

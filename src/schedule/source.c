#include "schedule/source.h"

#include "base/text.h"
#include "schedule/prescan.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 4 << 20 };

static void free_text(char **text) { free(*text); }

static int check_utf8(const char *file, const char *bytes, size_t length, struct faults *faults) {
    if (length >= 3 && !memcmp(bytes, "\xef\xbb\xbf", 3)) {
        fault_add(faults, (struct place){file, 1}, "begins with a byte order mark; save it as UTF-8 without one");
        return -1;
    }
    unsigned line = 1;
    for (const char *at = bytes, *end = bytes + length; at < end; line++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        const char *wrong = NULL;
        if (memchr(at, '\0', (size_t)(stop - at))) wrong = "has a NUL byte; take it out";
        else if (!text_is_utf8(at, (size_t)(stop - at))) wrong = "is not UTF-8; save the file as UTF-8";
        if (wrong) {
            fault_add(faults, (struct place){file, line}, "the line %s", wrong);
            return -1;
        }
        at = newline ? newline + 1 : end;
    }
    return 0;
}

/* Strings in the order of the file get the lines that the prescan saw: libconfig gives the line of the token after. */
static void put_lines(config_setting_t *setting, const struct prescan *prescan, size_t *next) {
    if (config_setting_type(setting) == CONFIG_TYPE_STRING) {
        if (*next < prescan->n_lines) config_setting_set_hook(setting, (void *)(uintptr_t)prescan->lines[(*next)++]);
        return;
    }
    if (!config_setting_is_aggregate(setting)) return;
    for (int i = 0; i < config_setting_length(setting); i++)
        put_lines(config_setting_get_elem(setting, (unsigned)i), prescan, next);
}

unsigned source_line(const config_setting_t *setting) {
    uintptr_t line = (uintptr_t)config_setting_get_hook(setting);
    return line ? (unsigned)line : config_setting_source_line(setting);
}

static int parse(struct source *source, const char *bytes, size_t length, struct faults *faults) {
    struct prescan prescan;
    if (prescan_bytes(source->file, bytes, length, &prescan, faults)) return -1;
    if (config_read_string(&source->config, bytes) != CONFIG_TRUE) {
        const char *text = config_error_text(&source->config);
        struct place place = {source->file, (unsigned)config_error_line(&source->config)};
        if (text && !strcmp(text, "duplicate setting name"))
            fault_add(faults, place, "a setting stands here for the second time in its group; leave one of them");
        else if (text && strstr(text, "mismatched element"))
            fault_add(faults, place, "an array [ … ] holds values of different types; write a list ( … )");
        else
            fault_add(faults, place, "the file cannot be read on from here; look here and just before for a missing ; or , "
                      "(each setting ends with ; and list elements have , between them) or an open bracket");
        prescan_free(&prescan);
        return -1;
    }
    size_t next = 0;
    put_lines(config_root_setting(&source->config), &prescan, &next);
    prescan_free(&prescan);
    return 0;
}

int source_open(struct source *source, const char *path, struct place asked, struct faults *faults) {
    *source = (struct source){.file = path};
    config_init(&source->config);
    __attribute__((cleanup(free_text))) char *bytes = NULL;
    size_t length;
    struct err err;
    if (text_read_file(path, MOST_BYTES, &bytes, &length, &err)) {
        fault_add(faults, asked.file ? asked : (struct place){"", 0}, "%s", err.text);
        return -1;
    }
    unsigned char digest[32];
    if (EVP_Digest(bytes, length, digest, NULL, EVP_sha256(), NULL) != 1) abort(); /* fails only without memory */
    text_hex(source->sha256, digest);
    if (check_utf8(path, bytes, length, faults)) return -1;
    return parse(source, bytes, length, faults);
}

void source_close(struct source *source) {
    if (!source->file) return;
    config_destroy(&source->config);
    source->file = NULL;
}

#include "base/text.h"
#include "schedule/load.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

enum { MOST_NAME_BYTES = 63 };

struct place load_place(const struct loader *loader, const config_setting_t *setting) {
    return (struct place){.file = loader->file, .line = source_line(setting)};
}

static void add_fault(const struct loader *loader, struct place place, const char *format, va_list arguments) PRINTF_LIKE(3, 0);
static void add_fault(const struct loader *loader, struct place place, const char *format, va_list arguments) {
    const char *text = arena_vprintf(loader->arena, format, arguments);
    fault_add(loader->faults, place, "%s%s", loader->subject, text);
}

void load_fault_at(const struct loader *loader, struct place place, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    add_fault(loader, place, format, arguments);
    va_end(arguments);
}

void load_fault(const struct loader *loader, const config_setting_t *setting, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    add_fault(loader, load_place(loader, setting), format, arguments);
    va_end(arguments);
}

/* How many letters must be put in, taken out or changed to make one of the other; `most` + 1 where it is more. */
static size_t distance(const char *a, const char *b, size_t most) {
    enum { LONGEST = 64 };
    size_t row[LONGEST + 1], length = strlen(b);
    if (length > LONGEST || strlen(a) > LONGEST) return most + 1;
    for (size_t j = 0; j <= length; j++) row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < length; j++) {
            size_t change = diagonal + (a[i] != b[j]), either = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            diagonal = row[j + 1];
            row[j + 1] = change < either ? change : either;
        }
    }
    return row[length] <= most ? row[length] : most + 1;
}

const char *load_nearest(const char *text, const char *const *known) {
    const char *best = NULL;
    if (!*text) return NULL;
    size_t length = strlen(text), most = length < 9 ? 2 : length / 3;
    if (most >= length) most = length - 1;
    size_t best_distance = most + 1;
    for (; *known; known++) {
        size_t d = distance(text, *known, most);
        if (d < best_distance) {
            best = *known;
            best_distance = d;
        }
    }
    return best;
}

const char *load_choices(const struct loader *loader, const char *const *items, size_t count) {
    __attribute__((cleanup(buf_free))) struct buf buf = {0};
    for (size_t i = 0; i < count; i++) buf_printf(&buf, "%s\"%s\"", !i ? "" : i + 1 == count ? " or " : ", ", items[i]);
    return arena_strdup(loader->arena, buf_text(&buf));
}

static bool is_in(const char *text, const char *const *known) {
    for (; *known; known++)
        if (!strcmp(text, *known)) return true;
    return false;
}

void load_known(const struct loader *loader, const config_setting_t *group, const char *const *known) {
    size_t count = 0;
    while (known[count]) count++;
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *member = config_setting_get_elem(group, (unsigned)i);
        const char *name = config_setting_name(member);
        if (is_in(name, known)) continue;
        const char *nearest = load_nearest(name, known);
        if (nearest) load_fault(loader, member, "unknown setting \"%s\"; did you mean \"%s\"?", name, nearest);
        else load_fault(loader, member, "unknown setting \"%s\"; known here are %s", name, load_choices(loader, known, count));
    }
}

static const char *type_words(const config_setting_t *setting) {
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_GROUP: return "a group { … }";
    case CONFIG_TYPE_LIST: return "a list ( … )";
    case CONFIG_TYPE_ARRAY: return "an array [ … ]";
    case CONFIG_TYPE_BOOL: return "true or false";
    case CONFIG_TYPE_STRING: return "a text";
    default: return "a number";
    }
}

config_setting_t *load_group(const struct loader *loader, const config_setting_t *group, const char *name) {
    config_setting_t *member = config_setting_get_member(group, name);
    if (!member || config_setting_is_group(member)) return member;
    load_fault(loader, member, "%s is %s; write %s = { … };", name, type_words(member), name);
    return NULL;
}

const char *load_element(const struct loader *loader, const config_setting_t *element, const char *name) {
    const char *text = config_setting_get_string(element);
    if (!text && config_setting_is_number(element) && config_setting_type(element) != CONFIG_TYPE_FLOAT) {
        long long number = config_setting_type(element) == CONFIG_TYPE_INT64 ? config_setting_get_int64(element) : config_setting_get_int(element);
        load_fault(loader, element, "%s = %lld is a bare number; write a text between quotes, a period with its unit (\"%lld days\")", name, number, number);
    } else if (!text) {
        load_fault(loader, element, "%s is %s; write a text between quotes", name, type_words(element));
    } else if (!text_is_utf8(text, strlen(text))) {
        load_fault(loader, element, "%s is not UTF-8 after its \\x escapes; write the characters themselves", name);
    } else if (!text[strspn(text, " \t\r\n")]) {
        load_fault(loader, element, "%s is empty; write a value or leave it out", name);
    } else {
        return arena_strdup(loader->arena, text);
    }
    return NULL;
}

const char *load_string(const struct loader *loader, const config_setting_t *group, const char *name) {
    const config_setting_t *member = config_setting_get_member(group, name);
    return member ? load_element(loader, member, name) : NULL;
}

const char *load_required(const struct loader *loader, const config_setting_t *group, const char *name, const char *write) {
    if (!config_setting_get_member(group, name)) load_fault(loader, group, "%s is missing; write %s", name, write);
    return load_string(loader, group, name);
}

const struct load_text *load_texts(const struct loader *loader, const config_setting_t *group, const char *name, size_t *ret_count) {
    const config_setting_t *member = config_setting_get_member(group, name);
    struct load_text *texts = NULL;
    size_t count = 0;
    *ret_count = 0;
    if (!member) return NULL;
    bool several = config_setting_is_list(member) || config_setting_is_array(member);
    unsigned length = several ? (unsigned)config_setting_length(member) : 1;
    if (!length) load_fault(loader, member, "%s is an empty list; write at least one value", name);
    for (unsigned i = 0; i < length; i++) {
        const config_setting_t *element = several ? config_setting_get_elem(member, i) : member;
        const char *text = load_element(loader, element, name);
        if (text) *ARENA_APPEND(loader->arena, texts, count) = (struct load_text){text, element};
    }
    *ret_count = count;
    return texts;
}

bool load_is_name(const char *text) {
    size_t part = 0;
    for (; *text; text++) {
        if (iscntrl((unsigned char)*text)) return false;
        part = *text == '.' ? 0 : part + 1;
        if (part > MOST_NAME_BYTES) return false;
    }
    return true;
}

const char *load_name(const struct loader *loader, const config_setting_t *group, const char *name) {
    const char *text = load_string(loader, group, name);
    if (!text || load_is_name(text)) return text;
    load_fault(loader, config_setting_get_member(group, name), "%s = \"%s\" is not a name (control characters, or longer than 63 bytes)", name, text);
    return NULL;
}

const char *load_trim(const struct loader *loader, const char *text, size_t length) {
    while (length && isspace((unsigned char)*text)) text++, length--;
    while (length && isspace((unsigned char)text[length - 1])) length--;
    return arena_strndup(loader->arena, text, length);
}

/* Shared by the files that load a schedule; of no use to anybody else. Each reads one kind of group, adds a fault for
 * everything that is wrong and goes on, so that one run shows all faults. A value that had a fault is left NULL or
 * zero; what depends on it is then not judged, so that one mistake is one fault. */
#ifndef LAPSED_SCHEDULE_LOAD_H
#define LAPSED_SCHEDULE_LOAD_H

#include "schedule/schedule.h"
#include "schedule/source.h"

struct loader {
    struct schedule *schedule;
    struct arena *arena; /* the schedule's */
    struct faults *faults;
    const char *file;    /* that the settings being read stand in */
    const char *subject; /* in front of every fault: "" or "\"Billing Records\", table \"invoices\": " */
};

/* load_value.c: one setting at a time. */
struct place load_place(const struct loader *loader, const config_setting_t *setting);
void load_fault(const struct loader *loader, const config_setting_t *setting, const char *format, ...) PRINTF_LIKE(3, 4);
void load_fault_at(const struct loader *loader, struct place place, const char *format, ...) PRINTF_LIKE(3, 4);
/* Adds a fault for every member that is not in `known` (ends with NULL), with the nearest known one. */
void load_known(const struct loader *loader, const config_setting_t *group, const char *const *known);
/* A group, or NULL (missing, or of another type: a fault). */
config_setting_t *load_group(const struct loader *loader, const config_setting_t *group, const char *name);
/* A copy of a string that is not empty, or NULL (missing, or a fault). */
const char *load_string(const struct loader *loader, const config_setting_t *group, const char *name);
/* As load_string; a missing one is a fault that says what to write. */
const char *load_required(const struct loader *loader, const config_setting_t *group, const char *name, const char *write);
/* One string, or a list or an array of them; each not empty. *ret_count 0: missing or a fault. */
struct load_text {
    const char *text;
    const config_setting_t *setting;
};
const struct load_text *load_texts(const struct loader *loader, const config_setting_t *group, const char *name, size_t *ret_count);
/* The text of the setting itself, an element of a list; NULL: a fault, which calls it `name`. */
const char *load_element(const struct loader *loader, const config_setting_t *element, const char *name);
/* The name of a column, path, table or index: no control characters and, in its parts between dots, at most 63 bytes
 * (PostgreSQL would cut it). */
bool load_is_name(const char *text);
/* As load_string, and load_is_name. */
const char *load_name(const struct loader *loader, const config_setting_t *group, const char *name);
/* Without spaces at both ends, in the arena. */
const char *load_trim(const struct loader *loader, const char *text, size_t length);
/* The one of `known` (ends with NULL) that looks most like it, or NULL. */
const char *load_nearest(const char *text, const char *const *known);
/* "a, b or c", each between quotes. */
const char *load_choices(const struct loader *loader, const char *const *items, size_t count);

/* load_settings.c */
void load_settings(struct loader *loader, const config_setting_t *root);
/* A path of lapsed.conf: relative ones lie in its folder. */
const char *load_path(const struct loader *loader, const char *path);

/* load_principals.c */
void load_principals(struct loader *loader, const config_setting_t *root);

/* load_exempt.c: after the rules */
void load_exempt(struct loader *loader, const config_setting_t *root);

/* load_stores.c */
void load_stores(struct loader *loader, const config_setting_t *root);
/* The store that `group` names in its setting `store`, of this kind; the only one of that kind if it names none. NULL:
 * a fault. */
const struct store_conf *load_store(const struct loader *loader, const config_setting_t *group, enum store_kind kind);
const char *load_kind_name(enum store_kind kind); /* "PostgreSQL" */

/* load_tenants.c */
void load_tenants(struct loader *loader, const config_setting_t *root);
bool load_is_end_name(const char *text); /* [a-z][a-z0-9_]* */
int load_tenant_end(const struct schedule *schedule, const char *name); /* its index, or -1 */

/* load_keep.c */
void load_periods(struct loader *loader, const config_setting_t *group, struct rule *rule);
void load_per_tenant(struct loader *loader, const config_setting_t *group, struct rule *rule);
bool load_is_longer(struct period a, struct period b); /* from one fixed day: a year is 365 days */

/* load_columns.c */
const struct column *load_columns(const struct loader *loader, const config_setting_t *group, size_t *ret_count);

/* load_joins.c */
void load_dependents(struct loader *loader, const config_setting_t *group, struct target *target);
void load_via(struct loader *loader, const config_setting_t *group, struct target *target);

/* load_target.c */
void load_targets(struct loader *loader, const config_setting_t *group, struct rule *rule);
/* The rule's subject with the target behind it. */
const char *load_subject(const struct loader *loader, const char *rule_subject, const struct target *target);

/* Only while it is loaded is a target changed through its rule. */
static inline struct target *load_mutable(const struct target *target) { return (struct target *)(uintptr_t)target; }

/* load_rules.c */
void load_rules(struct loader *loader, const config_setting_t *list);

/* load_check.c: what only the whole rule and the whole schedule show. */
void load_check_rule(struct loader *loader, const config_setting_t *group, struct rule *rule);
void load_check_schedule(struct loader *loader);

#endif

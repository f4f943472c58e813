#include "base/text.h"
#include "schedule/load.h"

#include <stdlib.h>
#include <string.h>

/* The two files while they are read. */
struct files {
    struct source main, rules;
};

static void close_files(struct files *files) {
    source_close(&files->main);
    source_close(&files->rules);
}

static void take_digest(struct loader *loader, const struct source *source) {
    loader->schedule->schedule_path = arena_strdup(loader->arena, source->file);
    (void)text_copy(loader->schedule->sha256, sizeof loader->schedule->sha256, source->sha256);
}

static void load_list(struct loader *loader, const config_setting_t *list, bool allow_empty) {
    if (!config_setting_is_list(list))
        load_fault(loader, list, "schedule is not a list of rules; write schedule = ( { data = \"…\"; … } );");
    else if (config_setting_length(list)) load_rules(loader, list);
    else if (!allow_empty) load_fault(loader, list, "schedule is empty; write its rules, or let \"lapsectl check\" draft them");
}

/* The privacy officer's file. */
static void load_rules_file(struct loader *loader, const config_setting_t *setting, bool allow_empty, struct source *source) {
    const char *name = load_string(loader, config_setting_parent(setting), "schedule");
    if (!name || source_open(source, load_path(loader, name), load_place(loader, setting), loader->faults)) return;
    take_digest(loader, source);
    const char *main_file = loader->file;
    loader->file = loader->schedule->schedule_path;
    const config_setting_t *root = config_root_setting(&source->config), *list = config_setting_get_member(root, "schedule");
    load_known(loader, root, (const char *const[]){"schedule", NULL});
    if (list) load_list(loader, list, allow_empty);
    else if (!allow_empty)
        load_fault_at(loader, (struct place){loader->file, 0}, "holds no schedule; write schedule = ( { data = \"…\"; keep = \"…\"; basis = \"…\"; targets = ( … ); } );");
    loader->file = main_file;
}

static void load_main(struct loader *loader, bool allow_empty, struct files *files) {
    static const char *const known[] = {"stores", "tenants", "sweep", "schedule", "journal", "state", "run", "notice",
                                        "batch",  "clock",   "timeout", "survey", "holds", "brakes", "throttle", "principals", "exempt",
                                        "privileges", NULL};
    const config_setting_t *root = config_root_setting(&files->main.config), *schedule = config_setting_get_member(root, "schedule");
    load_known(loader, root, known);
    load_stores(loader, root);
    load_tenants(loader, root);
    load_settings(loader, root);
    load_principals(loader, root);
    take_digest(loader, &files->main);
    if (schedule && config_setting_type(schedule) == CONFIG_TYPE_STRING) load_rules_file(loader, schedule, allow_empty, &files->rules);
    else if (schedule) load_list(loader, schedule, allow_empty);
    else if (!allow_empty)
        load_fault_at(loader, (struct place){loader->file, 0}, "schedule is missing; write schedule = \"schedule.conf\"; or the list of rules itself");
    load_exempt(loader, root); /* of what the rules do not name */
}

int schedule_load(const char *path, bool allow_empty, struct schedule **ret_schedule, struct faults *faults, struct err *err) {
    __attribute__((cleanup(close_files))) struct files files = {0};
    size_t before = faults->count;
    struct arena *arena = arena_new();
    struct schedule *schedule = ARENA_NEW(arena, struct schedule);
    *schedule = (struct schedule){.arena = arena, .path = arena_strdup(arena, path)};
    struct loader loader = {.schedule = schedule, .arena = arena, .faults = faults, .file = schedule->path, .subject = ""};
    if (!source_open(&files.main, schedule->path, (struct place){0}, faults)) load_main(&loader, allow_empty, &files);
    faults_sort(faults);
    if (faults->count > before) {
        size_t count = faults->count - before;
        (void)err_set(err, ERR_CONFIG, "%s: %zu fault%s in the configuration", path, count, count == 1 ? "" : "s");
        schedule_free(schedule);
        return -1;
    }
    *ret_schedule = schedule;
    return 0;
}

void schedule_free(struct schedule *schedule) {
    if (schedule) arena_free(schedule->arena);
}

#include "journal/read.h"

struct reading {
    const struct journal_filter *filter;
    void (*each)(void *context, const struct scan_entry *entry);
    void *context;
};

static bool about_tenant(const struct entry *entry, const char *tenant) {
    for (size_t i = 0; entry->event == ENTRY_INTENT && i < entry->n_tenants; i++)
        if (text_equal(entry->tenants[i].id, tenant)) return true;
    for (size_t i = 0; entry->event == ENTRY_HOLD && i < entry->n_members; i++)
        if (text_equal(entry->members[i], tenant)) return true;
    return (entry->event == ENTRY_FINDING || entry->event == ENTRY_HOLD || entry->event == ENTRY_APPROVE) && text_equal(entry->tenant, tenant);
}

bool journal_matches(const struct journal_filter *filter, const struct entry *entry) {
    bool names_data = entry->event == ENTRY_INTENT || entry->event == ENTRY_FINDING || entry->event == ENTRY_HOLD;
    bool names_store = names_data || entry->event == ENTRY_WAIT, names_rule = names_data || entry->event == ENTRY_APPROVE;
    return (!filter->events || filter->events & (1u << entry->event)) && (!filter->sweep || entry->sweep == filter->sweep) &&
           (!filter->since_us || entry->time_us >= filter->since_us) && (!filter->until_us || entry->time_us < filter->until_us) &&
           (!filter->rule || (names_rule && text_equal(entry->rule, filter->rule))) &&
           (!filter->store || (names_store && text_equal(entry->store, filter->store))) &&
           (!filter->tenant || about_tenant(entry, filter->tenant));
}

static void visit(void *context, const struct scan_entry *entry) {
    const struct reading *reading = context;
    if (journal_matches(reading->filter, &entry->line.entry)) reading->each(reading->context, entry);
}

int journal_read(const char *folder, const struct journal_filter *filter,
                 void (*each)(void *context, const struct scan_entry *entry), void *context, struct scan_result *ret_result,
                 struct err *err) {
    struct reading reading = {filter, each, context};
    const struct scan_visitor visitor = {.context = &reading, .wait = true, .entry = visit};
    struct scan_result result;
    if (journal_scan(folder, &visitor, &result, err)) return -1;
    if (!result.segments) return err_set(err, ERR_IO, "there is no journal in \"%s\"", folder);
    *ret_result = result;
    return 0;
}

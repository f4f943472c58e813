#include "command/journal.h"

#include "base/time.h"
#include "journal/show.h"
#include "sweep/tenant_name.h"

#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JOURNAL_WELL = 0, JOURNAL_ALTERED = 1, JOURNAL_USAGE = 64, JOURNAL_FILES = 74 };

static const char show_help[] =
    "usage: lapsectl journal show [OPTION]...\n"
    "\n"
    "Tells what the journal says, one sentence an entry; times are UTC.\n"
    "\n"
    "      --tenant ID      only what concerns this tenant\n"
    "      --rule NAME      only what this rule did\n"
    "      --store NAME     only what was done in this store\n"
    "      --sweep N        only this sweep\n"
    "      --since TIME     from then on: 2026-11-23, \"2026-11-23 09:14\", with or without a zone\n"
    "      --until TIME     before then\n"
    "      --event NAME     only these entries (may be given several times): start, stop, schedule,\n"
    "                       sweep-begin, sweep-end, intent, outcome, finding, recover, segment,\n"
    "                       checkpoint, prune, hold, release, pause, resume, refuse, wait, approve, clock\n"
    "  -n, --last N         only the last N\n"
    "      --json           the lines of the journal themselves\n"
    "      --folder FOLDER  this journal instead of the configured one\n"
    "  -h, --help           this text\n"
    "\n"
    "Exits 1 if the journal is damaged (what can be read is shown), 74 if a file cannot be read.\n";

struct options {
    const char *folder;
    struct journal_filter filter;
    int64_t last; /* 0: all */
    bool json, help;
};

enum { OPTION_FOLDER = 256, OPTION_JSON, OPTION_TENANT, OPTION_RULE, OPTION_STORE, OPTION_SWEEP, OPTION_SINCE, OPTION_UNTIL, OPTION_EVENT };

static bool wrong(const char *option, const char *value, const char *right) {
    (void)fprintf(stderr, "lapsectl: %s \"%s\" is not right; write %s\n", option, value, right);
    return false;
}

static bool take_number(const char *option, const char *value, int64_t *ret_number) {
    char *end;
    long long number = strtoll(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || number < 1 || number == LLONG_MAX) return wrong(option, value, "a number above 0");
    *ret_number = number;
    return true;
}

static bool take_time(const char *option, const char *value, int64_t *ret_us) {
    return time_parse(value, ret_us) || wrong(option, value, "a time like 2026-11-23 or \"2026-11-23 09:14\"");
}

static bool take_event(const char *value, unsigned *events) {
    for (enum entry_event event = 0; event < ENTRY_EVENTS; event++) {
        if (strcmp(value, entry_event_name(event)) != 0) continue;
        *events |= 1u << event;
        return true;
    }
    return wrong("--event", value, "the name of an event, such as intent or sweep-end");
}

static bool take_option(int option, struct options *options) {
    switch (option) {
    case OPTION_FOLDER: options->folder = optarg; return true;
    case OPTION_JSON: options->json = true; return true;
    case OPTION_TENANT: options->filter.tenant = optarg; return true;
    case OPTION_RULE: options->filter.rule = optarg; return true;
    case OPTION_STORE: options->filter.store = optarg; return true;
    case OPTION_SWEEP: return take_number("--sweep", optarg, &options->filter.sweep);
    case OPTION_SINCE: return take_time("--since", optarg, &options->filter.since_us);
    case OPTION_UNTIL: return take_time("--until", optarg, &options->filter.until_us);
    case OPTION_EVENT: return take_event(optarg, &options->filter.events);
    case 'n': return take_number("-n", optarg, &options->last);
    case 'h': options->help = true; return true;
    default: return false;
    }
}

void journal_wrong_option(int option, char **argv) {
    const char *word = argv[optind - 1];
    if (option == ':') (void)fprintf(stderr, "lapsectl: %s needs a value; see lapsectl journal %s --help\n", word, argv[0]);
    if (option == '?') (void)fprintf(stderr, "lapsectl: there is no option %s; lapsectl journal %s --help lists them\n", word, argv[0]);
}

bool journal_takes_no_more(int argc, char **argv) {
    if (optind == argc) return true;
    (void)fprintf(stderr, "lapsectl: \"%s\" is one argument too many; a journal is named by --folder FOLDER; lapsectl journal %s --help lists what it takes\n",
                  argv[optind], argv[0]);
    return false;
}

/* Returns whether the options are right; says so if not. */
static bool take_options(const struct journal_place *place, int argc, char **argv, const struct option *known, struct options *options) {
    optind = opterr = 0; /* a fresh start, also inside one process of a test; we say what is wrong */
    for (int option; (option = getopt_long(argc, argv, ":n:h", known, NULL)) != -1;) {
        if (take_option(option, options)) continue;
        journal_wrong_option(option, argv);
        return false;
    }
    if (options->help) return true;
    if (!journal_takes_no_more(argc, argv)) return false;
    if (place->checking) return true;
    if (!options->folder) (void)fprintf(stderr, "lapsectl: which journal? Give --folder FOLDER, or a configuration that names one\n");
    return options->folder;
}

static int say_error(const struct err *err) {
    (void)fprintf(stderr, "lapsectl: %s\n", err->text);
    return JOURNAL_FILES;
}

/* ---- show ---- */

/* Prints sentences, or keeps the last so many of them for the end. */
struct printer {
    bool raw;
    int64_t day; /* of the last sentence */
    bool told;
    struct kept { int64_t time_us; char *text; } *kept; /* a ring of `last` */
    size_t last, count;
};

/* Names and ids come from databases: nothing that a terminal would obey goes out. */
static void print_safely(const char *text) {
    for (const char *c = text; *c; c++) {
        bool c1 = (unsigned char)c[0] == 0xc2 && ((unsigned char)c[1] & 0xe0) == 0x80; /* U+0080 to U+009F */
        (void)putchar((unsigned char)*c < 0x20 || *c == 0x7f || c1 ? '?' : *c);
        if (c1) c++;
    }
}

static void print_one(struct printer *printer, int64_t time_us, const char *text) {
    if (!printer->raw) {
        int64_t day = time_day_of(time_us);
        if (day != printer->day) (void)printf("%s\n", time_format_day(time_us).text);
        printer->day = day;
        (void)printf("%.8s  ", strchr(time_format(time_us).text, 'T') + 1);
    }
    print_safely(text);
    (void)putchar('\n');
}

static void print_or_keep(void *context, int64_t time_us, const char *text) {
    struct printer *printer = context;
    printer->told = true;
    if (!printer->last) {
        print_one(printer, time_us, text);
        return;
    }
    struct kept *kept = &printer->kept[printer->count++ % printer->last];
    free(kept->text);
    *kept = (struct kept){time_us, xstrdup(text)};
}

static void print_kept(struct printer *printer) {
    size_t n = printer->count < printer->last ? printer->count : printer->last;
    for (size_t i = printer->count - n; i < printer->count; i++) {
        struct kept *kept = &printer->kept[i % printer->last];
        print_one(printer, kept->time_us, kept->text);
        free(kept->text);
    }
    free(printer->kept);
}

/* Who is asked for may have another name in the journal, which only the installation that wrote it knows. */
static void say_nothing_found(const struct journal_place *place, const struct options *options) {
    if (options->filter.tenant && !place->folder)
        (void)fprintf(stderr, "lapsectl: nothing in it is about the tenant \"%s\"; with tenants.personal a journal has names like h-0123… for tenants, "
                      "and without --folder the id is looked up\n", options->filter.tenant);
}

static void free_arena(struct arena **arena) { arena_free(*arena); }

int command_journal_show(const struct journal_place *place, int argc, char **argv) {
    static const struct option known[] = {{"folder", required_argument, NULL, OPTION_FOLDER}, {"json", no_argument, NULL, OPTION_JSON},
                                          {"tenant", required_argument, NULL, OPTION_TENANT}, {"rule", required_argument, NULL, OPTION_RULE},
                                          {"store", required_argument, NULL, OPTION_STORE},   {"sweep", required_argument, NULL, OPTION_SWEEP},
                                          {"since", required_argument, NULL, OPTION_SINCE},   {"until", required_argument, NULL, OPTION_UNTIL},
                                          {"event", required_argument, NULL, OPTION_EVENT},   {"last", required_argument, NULL, 'n'},
                                          {"help", no_argument, NULL, 'h'},                   {NULL, 0, NULL, 0}};
    struct options options = {.folder = place->folder};
    if (!take_options(place, argc, argv, known, &options)) return JOURNAL_USAGE;
    if (place->checking) return JOURNAL_WELL;
    if (options.help) return fputs(show_help, stdout) < 0 ? JOURNAL_FILES : JOURNAL_WELL;
    enum { MOST_LAST = 1000000 };
    if (options.last > MOST_LAST) options.last = MOST_LAST;
    __attribute__((cleanup(free_arena))) struct arena *arena = arena_new();
    struct err err;
    const char **tenant = &options.filter.tenant;
    if (*tenant && place->personal && tenant_name_asked(place->state, *tenant, arena, tenant, &err)) return say_error(&err);
    struct printer printer = {.raw = options.json, .day = INT64_MIN, .last = (size_t)options.last};
    if (printer.last) printer.kept = xcalloc(printer.last, sizeof *printer.kept);
    struct scan_result result;
    int failed = journal_show(options.folder, &(struct journal_show){options.filter, options.json, print_or_keep, &printer}, &result, &err);
    print_kept(&printer);
    if (fflush(stdout)) return JOURNAL_FILES;
    if (failed) return say_error(&err);
    if (!printer.told) say_nothing_found(place, &options);
    if (!result.faults) return JOURNAL_WELL;
    (void)fprintf(stderr, "lapsectl: the journal is damaged: %s (%s in all; \"lapsectl journal verify\" lists them)\n", result.first_fault,
                  text_number(result.faults).text);
    return JOURNAL_ALTERED;
}

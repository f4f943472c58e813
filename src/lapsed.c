/* lapsed: the daemon. Wiring only: options, the stores there are, and daemon_run. */
#include "base/log.h"
#include "store/mongo.h"
#include "store/pg.h"
#include "store/redis.h"
#include "sweep/daemon.h"

#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <sysexits.h>

static const char usage[] =
    "usage: lapsed [-c FILE] [-t | --once] [-v]\n"
    "\n"
    "Carries out a data-retention schedule. Runs in the foreground; see lapsed(8).\n"
    "\n"
    "  -c FILE    the configuration (default /etc/lapsed/lapsed.conf)\n"
    "  -t         check the configuration and the schedule, then exit\n"
    "  --once     do one sweep, then exit: 0 done, 75 work waits, 78 faulty schedule, 74 journal\n"
    "  -v         log more\n"
    "  --version  print the version\n"
    "  --help     this text\n"
    "\n"
    "Signals: HUP reload, USR1 sweep now, TERM and INT finish the batches in flight and stop.\n";

int main(int argc, char **argv) {
    enum { OPTION_ONCE = 256, OPTION_VERSION, OPTION_HELP };
    static const struct option options[] = {{"once", no_argument, NULL, OPTION_ONCE},
                                            {"version", no_argument, NULL, OPTION_VERSION},
                                            {"help", no_argument, NULL, OPTION_HELP},
                                            {0}};
    const char *config = "/etc/lapsed/lapsed.conf";
    bool once = false, test = false;
    enum log_level level = LOG_LEVEL_INFO;
    for (int option; (option = getopt_long(argc, argv, "c:tvh", options, NULL)) != -1;) {
        switch (option) {
        case 'c': config = optarg; break;
        case 't': test = true; break;
        case 'v': level = LOG_LEVEL_DEBUG; break;
        case OPTION_ONCE: once = true; break;
        case OPTION_VERSION: (void)puts("lapsed " VERSION); return EX_OK;
        case 'h':
        case OPTION_HELP: (void)fputs(usage, stdout); return EX_OK;
        default: (void)fputs(usage, stderr); return EX_USAGE;
        }
    }
    if (optind < argc || (test && once)) {
        if (optind < argc) (void)fprintf(stderr, "lapsed: \"%s\" is not expected here\n%s", argv[optind], usage);
        else (void)fprintf(stderr, "lapsed: -t and --once exclude each other\n%s", usage);
        return EX_USAGE;
    }
    (void)mallopt(M_ARENA_MAX, 1); /* what one connection's thread gives back serves the others */
    log_open("lapsed", level);
    store_register(&mongo_driver);
    store_register(&pg_driver);
    store_register(&redis_driver);
    return test ? daemon_test(config) : daemon_run(config, once);
}

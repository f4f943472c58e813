/* The contract of store.h as one suite of tests, run against every store there is. What a store needs for it is a place to
 * put records: a target with an identity, a tenant and an anchor, which the fixture reads and writes without the driver. */
#ifndef LAPSED_TESTS_CONTRACT_H
#define LAPSED_TESTS_CONTRACT_H

#include "store/store.h"

#include <sys/types.h>

/* In place of an anchor: what no rule can decide. */
#define ANCHOR_MISSING INT64_C(-62135596800000001)

struct fixture {
    const char *name;
    const struct store_driver *driver;
    const char *url, *password;
    enum target_kind kind;
    const char *target;        /* as `table`, `collection` or `keys` */
    bool tenant_in_name;
    const char *tenant, *since; /* columns */
    enum since_unit unit;
    int64_t grain_us;          /* what the store's anchors can tell apart */
    bool irrevocable;          /* finish destroys (no transactions) */
    bool settles;              /* settle can tell what became of a batch */
    /* The server stops answering (SIGSTOP), or goes on. NULL: it cannot be stopped. */
    void (*stall)(bool stalled);
    bool interrupts_waits;     /* interrupt ends the wait for a silent server; else the deadline does */
    void (*reset)(void);       /* makes the target, empty */
    /* Adds the record or moves its anchor. False: somebody's lock kept it from that for a quarter of a second. */
    bool (*put)(int number, const char *tenant, int64_t anchor_us);
    bool (*has)(int number, const char *tenant);
    size_t (*size)(void);      /* records there are */
};

/* For main: runs the suite and says how many tests failed. */
int contract_run(const struct fixture *fixture);
/* Stops a server's process, and waits until each of its threads has stopped; or lets it go on. */
void contract_stall(pid_t process, bool stalled);
/* The variable of the environment; ends the program with a message where it is missing, for nothing may pass unseen. */
const char *contract_variable(const char *name);

#endif

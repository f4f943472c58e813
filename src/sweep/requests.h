/* Requests while the daemon runs: watches the spool, enters what it finds into the journal, and lets it take effect when the
 * entry is on disk. A request stays in the spool until it is answered, so a crash at any point only makes it be read again:
 * its id says that it was carried out already. Runs on the loop; never syncs a file. */
#ifndef LAPSED_SWEEP_REQUESTS_H
#define LAPSED_SWEEP_REQUESTS_H

#include "request/ledger.h"
#include "sweep/engine.h"

struct requests;

struct requests_owner {
    void *context;
    /* Holds or the pause changed: engine->holds is up to date already. */
    void (*changed)(void *context);
    /* Whether something is still under way that the hold forbids; hold NULL: anything at all. Why, as people read it, into
     * `why`. An answer waits as long. */
    bool (*busy)(void *context, const struct hold *hold, struct buf *why);
    /* A person accepts the present time. */
    void (*accept_clock)(void *context);
};

/* Before the journal is opened: requests_seen is its `seen`, with the requests as context. */
struct requests *requests_new(struct engine *engine, const struct requests_owner *owner);
void requests_seen(void *requests, const struct entry *entry);
/* After the journal and the stores are open; reads what is waiting. */
int requests_start(struct requests *requests, const char *state_folder, struct err *err) MUST_CHECK;
void requests_stop(struct requests *requests); /* while the loop is there; NULL is fine */
void requests_free(struct requests *requests);

/* Looks into the spool, and says again what stands when that was not said for a day. */
void requests_tick(struct requests *requests);
/* Some are not on disk yet: nothing new is begun before they are. */
bool requests_pending(const struct requests *requests);
const struct pause *requests_pause(const struct requests *requests); /* NULL: not paused */
/* Of a sweep that begins: engine->holds is as of now, and the journal says again what stands. */
void requests_stand(struct requests *requests);
/* engine->holds and engine->approvals are as of now. */
void requests_refresh(struct requests *requests);
/* A sweep that an approval was for is over: "spent". */
void requests_spend(struct requests *requests, const char *approval_id);
/* The tenants were read: whoever belongs to a held subtree now stays in it. */
void requests_widen(struct requests *requests, const struct tenants *tenants);

#endif

/* lapsectl: looks at a retention schedule, at what it would destroy, and at what lapsed has destroyed. */
#include "base/log.h"
#include "command/command.h"
#include "command/verbs.h"
#include "store/mongo.h"
#include "store/pg.h"
#include "store/redis.h"

int main(int argc, char **argv) {
    static const struct verb *const verbs[] = {&verb_check,  &verb_grants,   &verb_policy,       &verb_plan,          &verb_explain,
                                               &verb_status, &verb_findings, &verb_approve, &verb_hold_list, &verb_hold, &verb_release,
                                               &verb_pause,  &verb_resume,   &verb_journal_show, &verb_journal_verify,
                                               &verb_journal_prove, &verb_journal_checkpoint, &verb_keygen};
    store_register(&pg_driver);
    store_register(&mongo_driver);
    store_register(&redis_driver);
    log_open("lapsectl", LOG_LEVEL_WARNING);
    return command_run(verbs, sizeof verbs / sizeof *verbs, argc, argv, stdout, stderr);
}

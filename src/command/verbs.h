/* The verbs of lapsectl, a file for each (status and findings share one). */
#ifndef LAPSED_COMMAND_VERBS_H
#define LAPSED_COMMAND_VERBS_H

#include "command/command.h"

extern const struct verb verb_check;
extern const struct verb verb_grants;
extern const struct verb verb_policy;
extern const struct verb verb_plan;
extern const struct verb verb_explain;
extern const struct verb verb_status;
extern const struct verb verb_findings;
extern const struct verb verb_approve;
extern const struct verb verb_hold;
extern const struct verb verb_hold_list;
extern const struct verb verb_release;
extern const struct verb verb_pause;
extern const struct verb verb_resume;
extern const struct verb verb_journal_show;
extern const struct verb verb_journal_verify;
extern const struct verb verb_journal_prove;
extern const struct verb verb_journal_checkpoint;
extern const struct verb verb_keygen;

#endif

/* The schedule as the table that is published in a privacy policy, and compared with one that was. */
#ifndef LAPSED_COMMAND_POLICY_H
#define LAPSED_COMMAND_POLICY_H

#include "schedule/schedule.h"

#include <stdio.h>

enum policy_format { POLICY_TEXT, POLICY_MARKDOWN, POLICY_JSON };

/* Returns 0, or -1 if it could not be written. */
int policy_print(const struct schedule *schedule, enum policy_format format, FILE *to) MUST_CHECK;

/* Compares names and periods with the Markdown table in the file that has a retention column (of several the one whose
 * heading is just "Retention Period", "Retention" or "Keep"; names stand in its first column). What is in parentheses
 * does not count, but "anonymized after PERIOD" anywhere in a row does. Periods are compared by meaning: "Duration of
 * subscription + 30 days" is "subscription + 30 days", and "1 year" is "12 months". Prints every difference with both
 * texts, or one line that there is none. */
int policy_diff(const struct schedule *schedule, const char *path, FILE *to, bool *ret_equal, struct err *err) MUST_CHECK;

/* The retention column: "26 months (anonymized after 14 months)". */
char *policy_period_text(struct arena *arena, const struct rule *rule);

#endif

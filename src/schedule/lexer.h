/* What the configuration says in SQL and JSON goes into statements of ours. Before that it passes here: it must be one
 * whole expression that stays inside the parentheses we put around it. Names, types and grammar are the server's
 * business; this holds only that nothing can break out of the binding of a tenant. */
#ifndef LAPSED_SCHEDULE_LEXER_H
#define LAPSED_SCHEDULE_LEXER_H

#include "base/err.h"

/* A condition ("status = 'closed'"), to be wrapped as "(condition)". Refused: unbalanced parentheses and quotes,
 * semicolons, comments, parameters, and a backslash before a quote (the string would end elsewhere under
 * standard_conforming_strings = off). Errors are ERR_CONFIG and never quote the text. */
int lexer_check_condition(const char *text, struct err *err) MUST_CHECK;
/* As a condition, and it begins with SELECT, WITH or VALUES; to be wrapped as "(query)". */
int lexer_check_query(const char *text, struct err *err) MUST_CHECK;
/* A JSON object; operators that run code or write elsewhere are refused at any depth. */
int lexer_check_filter(const char *text, struct err *err) MUST_CHECK;
/* A JSON array of objects, likewise. */
int lexer_check_pipeline(const char *text, struct err *err) MUST_CHECK;

#endif

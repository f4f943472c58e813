/* Everything that can be wrong in a schedule, one fault at a time: its place, what is wrong, what to write. Each case must
 * give exactly one fault, so that one mistake never looks like two. */
#include "unit/schedule/loading.h"

struct wrong {
    const char *text;  /* where %s stands in the frame */
    const char *words; /* of the message */
};

/* Loads each text in the frame (one %s, in line 2 of its file) and expects its one fault there. */
static void expect_all(const struct wrong *cases, size_t count, const char *frame, bool in_main) {
    for (size_t i = 0; i < count; i++) {
        char text[4096];
        const char *at = strstr(frame, "%s");
        (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - frame), frame, cases[i].text, at + 2);
        if (in_main) loading_expect(text, NULL, "lapsed.conf:2: ", cases[i].words);
        else loading_expect(GOOD_MAIN, text, "schedule.conf:2: ", cases[i].words);
    }
}
#define EXPECT_ALL(cases, frame) expect_all(cases, sizeof cases / sizeof *cases, frame, false)
#define EXPECT_ALL_MAIN(cases, frame) expect_all(cases, sizeof cases / sizeof *cases, frame, true)

#define RULE_FRAME "schedule = (\n{ %s }\n);"
#define TABLE "targets = ( { table = \"t\"; tenant = \"c\"; since = \"s\"; } );"
#define NAMED "data = \"D\"; basis = \"b\"; "

START_TEST(rules) {
    static const struct wrong cases[] = {
        {"basis = \"b\"; keep = \"1 day\"; " TABLE, "a rule: data is missing; write data = "},
        {"data = \"D\"; keep = \"1 day\"; " TABLE, "\"D\": basis is missing; write basis = "},
        {NAMED TABLE, "\"D\": keep is missing; write how long"},
        {NAMED "keep = \"1 day\";", "\"D\": targets is missing; write where the data lies"},
        {NAMED "keep = \"1 day\"; targets = ();", "targets is empty"},
        {NAMED "keep = \"1 day\"; targets = { table = \"t\"; };", "targets is not a list"},
        {NAMED "keep = \"1 day\"; targets = ( \"t\" );", "targets holds something that is not a group"},
        {"data = \"\"; basis = \"b\"; keep = \"1 day\"; " TABLE, "data is empty; write a value"},
        {"data = \"D\"; basis = \" \"; keep = \"1 day\"; " TABLE, "basis is empty"},
        {"data = \"D\\nE\"; basis = \"b\"; keep = \"1 day\"; " TABLE, "data holds a line break"},
        {"data = 7; basis = \"b\"; keep = \"1 day\"; " TABLE, "data = 7 is a bare number"},
        {"data = true; basis = \"b\"; keep = \"1 day\"; " TABLE, "data is true or false; write a text between quotes"},
        {NAMED "keep = \"1 day\"; keeps = \"2 days\"; " TABLE, "unknown setting \"keeps\"; did you mean \"keep\"?"},
        {NAMED "keep = \"1 day\"; brakes = 1; " TABLE, "unknown setting \"brakes\"; known here are \"data\", \"keep\""},
        {NAMED "keep = \"1 day\"; if_blocked = \"delete\"; " TABLE, "if_blocked = \"delete\" is unknown; write \"anonymize\""},
    };
    EXPECT_ALL(cases, RULE_FRAME);
    loading_expect(GOOD_MAIN, "schedule = { };", "schedule.conf:1: ", "schedule is not a list of rules");
    loading_expect(GOOD_MAIN, "schedule = ( 1 );", "schedule.conf:1: ", "schedule holds something that is not a rule");
    loading_expect(GOOD_MAIN, "stores = { };\nschedule = ( { " NAMED "keep = \"1 day\"; " TABLE " } );", "schedule.conf:1: ", "unknown setting \"stores\"");
    loading_expect(GOOD_MAIN, "schedule = ( { " NAMED "keep = \"1 day\"; " TABLE " },\n { " NAMED "keep = \"2 days\"; " TABLE " } );", "schedule.conf:2: ",
                   "\"D\" is already the name of the rule in line 1");
}
END_TEST

START_TEST(periods) {
    static const struct wrong cases[] = {
        {"keep = \"7\";", "\"D\": keep = \"7\" has no unit; write \"7 days\", \"7 months\" or \"7 years\""},
        {"keep = 7;", "keep = 7 is a bare number; write a text between quotes, a period with its unit (\"7 days\")"},
        {"keep = \"-7 days\";", "has a sign"},
        {"keep = \"0 days\";", "is zero; write a number from 1"},
        {"keep = \"1.5 years\";", "is not a whole number"},
        {"keep = \"7 fortnights\";", "has an unknown unit; write seconds, minutes"},
        {"keep = \"1 month 3 days\";", "mixes units"},
        {"keep = \"2000 years\";", "is longer than 1,000 years; write \"forever\""},
        {"keep = \"subscription + 7\";", "keep = \"subscription + 7\": \"7\" has no unit"},
        {"keep = \"subscription + 1 month + 3 days\";", "mixes units"},
        {"keep = \"cancellation + 7 days\";", "\"cancellation\" is no known end; known are \"subscription\" or \"account\""},
        {"keep = \"until cancellation\";", "\"cancellation\" is no known end; known are"},
        {"keep = \"until \";", "names no end"},
        {"keep = \"account\";", "does not say how long; write \"until account\" or \"account + 30 days\""},
        {"keep = \"as long as needed\";", "is not understood; write \"30 days\", \"END + 30 days\""},
        {"keep = [ \"forever\", \"1 day\" ];", "\"forever\" in a list with others"},
        {"keep = [ \"1 year\", \"1 day\" ];", "keep says \"1 day\" beside \"1 year\""},
        {"keep = [ \"account + 1 year\", \"until account\" ];", "keep says \"until account\" beside \"account + 1 year\""},
        {"keep = ( );", "keep is an empty list"},
        {"keep = \"1 year\"; at_least = \"366 days\";", "at_least = \"366 days\" is longer than keep = \"1 year\""},
        {"keep = \"until\";", "names no end"},
        {"keep = \"1 year\"; at_least = \"subscription + 1 day\";", "at_least = "},
        {"keep = \"1 year\"; at_least = \"0 days\";", "at_least = \"0 days\" is zero"},
    };
    EXPECT_ALL(cases, "schedule = ( { " NAMED "\n%s\n" TABLE " } );");
}
END_TEST

START_TEST(anonymization) {
    static const struct wrong cases[] = {
        {"anonymize = \"26 months\";", "anonymize = \"26 months\" is not before keep = \"26 months\""},
        {"anonymize = \"3 years\";", "anonymize = \"3 years\" is not before keep = \"26 months\""},
        {"anonymize = \"account + 31 days\";", "is not before keep = \"account + 30 days\""},
        {"anonymize = \"forever\";", "anonymize = \"forever\" never happens"},
        {"anonymize = \"7\";", "anonymize = \"7\" has no unit"},
    };
    EXPECT_ALL(cases, "schedule = ( { " NAMED "keep = [ \"26 months\", \"account + 30 days\" ];\n%s\n"
                      "targets = ( { table = \"t\"; tenant = \"c\"; since = \"s\"; columns = \"null: x\"; } ); } );");
    loading_expect(GOOD_MAIN, "schedule = ( { " NAMED "keep = \"until account\"; anonymize = \"account + 1 day\";\n"
                              "targets = ( { table = \"t\"; tenant = \"c\"; columns = \"null: x\"; } ); } );", "schedule.conf:1: ", "is not before keep = \"until account\"");
}
END_TEST

START_TEST(targets) {
    static const struct wrong cases[] = {
        {"tenant = \"c\"; since = \"s\";", "a target names no place; write one of table"},
        {"table = \"t\"; collection = \"u\"; tenant = \"c\"; since = \"s\";", "a target names several places"},
        {"table = \"\"; tenant = \"c\"; since = \"s\";", "table is empty"},
        {"table = \"a.b.c\"; tenant = \"c\"; since = \"s\";", "write \"table\" or \"schema.table\""},
        {"table = \"t123456789012345678901234567890123456789012345678901234567890123\"; tenant = \"c\"; since = \"s\";", "is not a name"},
        {"table = \"t\"; since = \"s\";", "no tenant is named; name its column (tenant = \"customer_id\"), or write tenant = \"none\""},
        {"collection = \"t\"; since = \"s\";", "no tenant is named; name its column"},
        {"keys = \"t:*\"; since = \"field:x\";", "no tenant is named; write {tenant} in the pattern, or write tenant = \"none\""},
        {"table = \"t\"; tenant = \"\"; since = \"s\";", "tenant is empty"},
        {"collection = \"kb_{tenant}\"; tenant = \"c\"; since = \"s\";", "tenant = \"c\" and {tenant} in the name both say whose it is"},
        {"collection = \"kb_{tenant}\"; tenant = \"none\"; since = \"s\";", "tenant = \"none\", but the name holds {tenant}"},
        {"keys = \"k:*\"; tenant = \"c\"; since = \"field:x\";", "keys have no tenant column"},
        {"table = \"t\"; tenant = \"c\";", "keep = \"1 year\" counts from the record's birth, and since is missing"},
        {"table = \"t\"; tenant = \"c\"; since = \"s\"; store = \"mian\";", "store = \"mian\" is unknown; known are \"main\", \"docs\" or \"cache\""},
        {"table = \"t\"; tenant = \"c\"; since = \"s\"; store = \"docs\";", "store = \"docs\" is MongoDB, but this needs PostgreSQL"},
        {"table = \"t\"; tenant = \"c\"; since = \"s\"; unit = \"us\";", "unit = \"us\" is unknown; write \"s\" or \"ms\""},
        {"table = \"t\"; tenant = \"c\"; since = \"s\"; zone = \"CEST\";", "zone = \"CEST\" is not the name of a time zone; write \"UTC\""},
        {"table = \"t\"; tenant = \"c\"; since = \"s\"; zone = \"+02:00\";", "is not the name of a time zone"},
        {"table = \"t\"; tenant = \"c\"; since = \"s\"; only = \"x = 1) OR (true\";", "the condition in only closes a parenthesis"},
        {"table = \"t\"; tenant = \"c\"; since = \"s\"; only = \"x = 1 -- \";", "the condition in only has a comment"},
        {"collection = \"t\"; tenant = \"c\"; since = \"s\"; only = \"x = 1\";", "the condition in only is not JSON"},
        {"collection = \"t\"; tenant = \"c\"; since = \"s\"; only = \"{\\\"$where\\\": 1}\";", "the condition in only has $where"},
        {"keys = \"k:{tenant}\"; since = \"field:x\"; only = \"{}\";", "keys have no condition"},
        {"collection = \"t\"; tenant = \"c\"; since = \"s\"; key = \"i\";", "key names a table's unique index"},
        {"table = \"t\"; tenant = \"c\"; since = \"s\"; drop = \"yes\";", "drop is not true or false"},
        {"collection = \"t\"; tenant = \"c\"; since = \"s\"; drop = true;", "drop is for partitioned tables"},
        {"table = \"t\"; tenant = \"c\"; since = \"s\"; only = \"x = 1\"; drop = true;", "by their age alone; take it out, or only"},
        {"table = \"t\"; tenant = \"c\"; since = \"s\"; dependents = [ \"l.t_id\" ]; drop = true;", "by their age alone; take it out, or dependents"},
        {"table = \"t\"; tenant = \"c\"; since = \"s\"; marker = \"m\";", "marker says what is anonymized, but the rule never anonymizes"},
        {"table = \"t\"; tenant = \"c\"; since = \"s\"; columns = \"null: x\";", "columns says how to anonymize, but the rule never does"},
        {"table = \"t\"; tenant = \"c\"; since = \"s\"; ends = \"d\";", "ends is a text; write ends = { … };"},
        {"table = \"t\"; tenant = \"c\"; since = \"s\"; ends = { };", "ends is empty"},
        {"table = \"t\"; tenant = \"c\"; since = \"s\"; ends = { account = \"x\"; };", "is already one of the tenants'"},
        {"table = \"t\"; tenant = \"c\"; since = \"s\"; ends = { Deleted = \"x\"; };", "the end \"Deleted\" is not a name"},
        {"table = \"t\"; tenant = \"c\"; since = \"s\"; ends = { deletion = 1; };", "deletion = 1 is a bare number"},
    };
    EXPECT_ALL(cases, "schedule = ( { " NAMED "keep = \"1 year\"; targets = (\n{ %s }\n); } );");
}
END_TEST

START_TEST(patterns_of_keys) {
    static const struct wrong cases[] = {
        {"keys = \"k:{tenant}*\"; since = \"field:x\";", "does not show where {tenant} ends"},
        {"keys = \"k:{tenant}{date}\"; since = \"{date}\";", "does not show where {tenant} ends"},
        {"keys = \"{tenant}:{tenant}\"; since = \"field:x\";", "has {tenant} twice"},
        {"keys = \"k:{tenant}:{date}:{date:%Y}\"; since = \"{date}\";", "has {date} twice"},
        {"keys = \"k:{tenant}:{date:%Y\"; since = \"{date}\";", "does not close {date:…}"},
        {"keys = \"k:{tenant}:{date:%d%m%Y}\"; since = \"{date}\";", "has a date format that is not %Y, %m"},
        {"keys = \"k:{tenant}:{date:x}\"; since = \"{date}\";", "has a date format that is not"},
        {"keys = \"*\"; tenant = \"none\"; since = \"field:x\";", "would be every key"},
        {"keys = \"{tenant}\"; since = \"field:x\";", "would be every key"},
        {"keys = \"k:\\\\{tenant}\"; since = \"field:x\";", "has a backslash before a placeholder"},
        {"keys = \"k:{tenant}\"; since = \"created\";", "since = \"created\" is unknown for keys; write \"score\""},
        {"keys = \"k:{tenant}\"; since = \"field:\";", "is unknown for keys"},
        {"keys = \"k:{tenant}\"; since = \"{date}\";", "the pattern holds no {date}"},
        {"keys = \"k:{tenant}\"; since = \"score\";", "does not say what the score counts; add unit"},
        {"keys = \"k:{tenant}\"; since = \"field:x\"; zone = \"Europe/Berlin\";", "keys are read in UTC"},
        {"keys = \"k:{tenant}\"; since = \"field:x\"; ends = { gone = \"deleted\"; };", "gone = \"deleted\" is unknown for keys"},
        {"keys = \"k:{tenant}\"; since = \"field:x\"; via = \"a = b.c\";", "keys cannot have it"},
        {"keys = \"k:{tenant}\"; since = \"field:x\"; dependents = \"a.b\";", "keys have no dependents"},
        {"keys = \"k:{tenant}\"; since = \"field:x\"; key = \"i\";", "a key is its own identity"},
    };
    EXPECT_ALL(cases, "schedule = ( { " NAMED "keep = \"1 year\"; targets = (\n{ %s }\n); } );");
}
END_TEST

START_TEST(ends_and_tenants) {
    static const struct wrong cases[] = {
        {"table = \"t\"; tenant = \"none\"; ends = { deletion = \"d\"; };", "keep = \"account + 30 days\" counts from a tenant's end, which tenant = \"none\" cannot have"},
        {"table = \"t\"; tenant = \"c\"; }, { table = \"u\"; tenant = \"c\"; ends = { deletion = \"d\"; };",
         "\"D\", table \"t\": keep = \"until deletion\", but this target has no end \"deletion\"; name its column: ends = { deletion = \"…\"; }"},
        {"keys = \"k:*\"; tenant = \"none\"; ends = { deletion = \"field:d\"; };", "which tenant = \"none\" cannot have"},
        {"table = \"t\"; tenant = \"c\"; via = \"a = b\"; ends = { deletion = \"d\"; };", "via = \"a = b\" is not understood; write \"column = table.column\""},
        {"table = \"t\"; tenant = \"c\"; via = \"x.a = b.c\"; ends = { deletion = \"d\"; };", "where the column belongs to \"t\""},
        {"table = \"t\"; tenant = \"c\"; via = [ \"a = b.c\", \"b.d = e.f\" ]; ends = { deletion = \"d\"; };", "where the column belongs to \"b\""},
        {"table = \"t\"; tenant = \"c\"; via = \"a = b.c, d = e.f\"; ends = { deletion = \"d\"; };", "is not understood"},
        {"collection = \"t\"; tenant = \"c\"; via = \"a = b.c\"; ends = { deletion = \"d\"; };", "a collection cannot have it"},
    };
    EXPECT_ALL(cases, "schedule = ( { " NAMED "keep = [ \"until deletion\", \"account + 30 days\" ]; targets = (\n{ %s }\n); } );");
    static const struct wrong none[] = {{"tenant = \"none\"; via = \"a = b.c\";", "tenant = \"none\" and via contradict each other"}};
    EXPECT_ALL(none, "schedule = ( { " NAMED "keep = \"1 day\"; targets = (\n{ table = \"t\"; since = \"s\"; %s }\n); } );");
    loading_expect("stores = { main = { url = \"postgresql://h/d\"; }; }; schedule = \"schedule.conf\";",
                   "schedule = ( { " NAMED "\nkeep = \"until account\"; targets = ( { table = \"t\"; tenant = \"c\"; } ); } );", "schedule.conf:2: ",
                   "\"account\" is no known end; there is none: name the tenants' in tenants.ends");
}
END_TEST

START_TEST(columns) {
    static const struct wrong cases[] = {
        {"columns = \"x\";", "columns: \"x\" is not understood; write \"STRATEGY: column, column\""},
        {"columns = \"nul: x\";", "unknown strategy \"nul\"; did you mean \"null\"?; known are \"null\", \"fixed\", \"truncate-ip\""},
        {"columns = \"fixed: x\";", "\"fixed\" needs its value; write \"fixed(VALUE): column\""},
        {"columns = \"fixed(a: x\";", "is not understood"},
        {"columns = \"null(1): x\";", "\"null\" takes no argument"},
        {"columns = \"truncate-time: x\";", "\"truncate-time\" needs hour, day, month or year"},
        {"columns = \"truncate-time(week): x\";", "\"truncate-time\" needs hour, day, month or year"},
        {"columns = \"null: a,, b\";", "names an empty column"},
        {"columns = \"null: a,\";", "names an empty column"},
        {"columns = ( \"null: a, b\", \"as-is: b\" );", "\"b\" stands for the second time (first in line 2)"},
        {"columns = ( \"null: a.b\", \"as-is: a\" );", "\"a\" and \"a.b\" (line 2) lie one in the other"},
        {"columns = \"null: c\";", "\"c\" is the target's tenant, which stays as it is; take it out"},
        {"columns = \"null: s\";", "\"s\" is the target's since"},
        {"columns = \"null: m\";", "\"m\" is the target's marker"},
        {"columns = \"null: d\";", "\"d\" is the target's end"},
        {"columns = 5;", "columns = 5 is a bare number"},
        {"", "columns is missing; say what becomes of every column"},
    };
    EXPECT_ALL(cases, "schedule = ( { " NAMED "keep = \"2 years\"; anonymize = \"1 year\"; targets = (\n"
                      "{ table = \"t\"; tenant = \"c\"; since = \"s\"; marker = \"m\"; ends = { deletion = \"d\"; }; %s }\n); } );");
    static const struct wrong others[] = {
        {"collection = \"t\"; tenant = \"c\"; since = \"s\"; columns = \"as-is: _id, x\";", "\"_id\" is the target's key"},
        {"keys = \"t:{tenant}\"; since = \"field:s\"; columns = \"null: s\";", "\"s\" is the target's since"},
        {"table = \"t\"; tenant = \"c\"; via = \"u_id = u.id\"; since = \"s\"; columns = \"null: u_id, c\";", "\"u_id\" is the target's way to its tenant (via)"},
    };
    EXPECT_ALL(others, "schedule = ( { " NAMED "keep = \"2 years\"; anonymize = \"1 year\"; targets = (\n{ %s }\n); } );");
    static const struct wrong blocked[] = {
        {"table = \"t\"; tenant = \"c\";", "columns is missing"},
        {"collection = \"t\"; tenant = \"c\";", "columns is missing"},
        {"keys = \"t:{tenant}\"; columns = \"null: x\";", "columns says how to anonymize, but the rule never does"},
    };
    EXPECT_ALL(blocked, "schedule = ( { " NAMED "keep = \"until account\"; if_blocked = \"anonymize\"; targets = (\n{ %s }\n); } );");
}
END_TEST

START_TEST(dependents) {
    static const struct wrong cases[] = {
        {"dependents = \"lines\";", "dependents: \"lines\" is not a join; write \"child.column\" (the target's key) or \"child.column = parent.column\""},
        {"dependents = \"a.b.c.d\";", "is not a join"},
        {"dependents = \"lines.t_id = id\";", "is not a join"},
        {"dependents = \"lines.t_id =\";", "is not a join"},
        {"dependents = \"lines.a, other.b\";", "names two tables on the left"},
        {"dependents = \"lines.a = t.a, lines.b = u.b\";", "names different tables on the right"},
        {"dependents = \"lines.a = t.a, lines.b\";", "names different tables on the right"},
        {"dependents = \"l.a, l.b, l.c, l.d, l.e, l.f, l.g, l.h, l.i\";", "has too many columns"},
        {"dependents = \"lines.t_id = u.id\";", "\"lines\" hangs on \"u\", which is neither the target nor one of its dependents"},
        {"dependents = [ \"a.b_id = b.id\", \"b.a_id = a.id\", \"c.t_id\" ];", "in a circle that does not begin at the target"},
        {"dependents = [ \"lines.t_id\", \"public.lines.t_id\" ];", "\"lines\" is joined in the same way in line 2"},
        {"dependents = [ 1 ];", "dependents = 1 is a bare number"},
        {"dependents = ( { when_anonymized = \"purge\"; } );", "join is missing; write join = \"child.column\";"},
        {"dependents = ( { join = \"l.t_id\"; jion = \"x\"; } );", "unknown setting \"jion\"; did you mean \"join\"?"},
        {"dependents = ( { join = \"l.t_id\"; when_anonymized = \"purge\"; } );", "but the rule never anonymizes; take that out"},
        {"dependents = ( { join = \"l.t_id\"; columns = \"null: x\"; } );", "but the rule never anonymizes; take that out"},
    };
    /* A circle is a fault of each of its members. */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct loading loading;
        char text[1024];
        (void)snprintf(text, sizeof text, "schedule = ( { " NAMED "keep = \"1 year\"; targets = (\n{ table = \"t\"; tenant = \"c\"; since = \"s\"; %s }\n); } );", cases[i].text);
        loading_load(&loading, GOOD_MAIN, text);
        const char *printed = loading_print(&loading);
        ck_assert_msg(loading.faults.count == (strstr(cases[i].words, "circle") ? 2u : 1u) && text_starts_with(printed, "schedule.conf:2: ") &&
                          strstr(printed, cases[i].words), "%s\n%s", text, printed);
        loading_end(&loading);
    }
    static const struct wrong anonymizing[] = {
        {"dependents = \"l.t_id\";", "it is not said what becomes of \"l\" then; write { join = \"…\"; when_anonymized = \"purge\"; }"},
        {"dependents = ( { join = \"l.t_id\"; } );", "it is not said what becomes of \"l\" then"},
        {"dependents = ( { join = \"l.t_id\"; when_anonymized = \"delete\"; columns = \"null: x\"; } );", "has both when_anonymized and columns"},
        {"dependents = ( { join = \"l.t_id\"; columns = \"nil: x\"; } );", "unknown strategy \"nil\""},
        {"dependents = ( { join = \"l.t_id\"; columns = \"as-is: x, t_id\"; } );", "columns: \"t_id\" joins \"l\" to its parent and stays as it is"},
    };
    EXPECT_ALL(anonymizing, "schedule = ( { " NAMED "keep = \"until account\"; if_blocked = \"anonymize\"; targets = (\n"
                            "{ table = \"t\"; tenant = \"c\"; columns = \"null: x\"; %s }\n); } );");
}
END_TEST

START_TEST(periods_of_tenants) {
    static const struct wrong cases[] = {
        {"per_tenant = { min = \"1 month\"; };", "column is missing; write the column of the tenants query"},
        {"per_tenant = { column = \"p\"; mni = \"1 month\"; };", "unknown setting \"mni\"; did you mean \"min\"?"},
        {"per_tenant = { column = \"p\"; min = \"1\"; };", "per_tenant: min = \"1\" has no unit"},
        {"per_tenant = { column = \"p\"; min = \"6 months\"; max = \"1 month\"; };", "per_tenant: min = \"6 months\" is longer than max = \"1 month\""},
        {"per_tenant = { column = \"p\"; min = \"2 years\"; };", "min = \"2 years\" is longer than keep = \"1 year\""},
        {"per_tenant = { column = \"p\"; max = \"6 months\"; };", "max = \"6 months\" is shorter than keep = \"1 year\""},
        {"per_tenant = { column = \"p\"; min = \"1 month\"; }; at_least = \"2 months\";", "min = \"1 month\" is shorter than at_least = \"2 months\""},
        {"per_tenant = { column = \"account\"; };", "column = \"account\" is no period but the tenant's account"},
        {"per_tenant = \"p\";", "per_tenant is a text; write per_tenant = { … };"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool order = strstr(cases[i].text, "6 months\"; max");
        struct loading loading;
        char text[1024];
        (void)snprintf(text, sizeof text, "schedule = ( { " NAMED "keep = \"1 year\";\n%s\n" TABLE " } );", cases[i].text);
        loading_load(&loading, GOOD_MAIN, text);
        const char *printed = loading_print(&loading);
        /* min > max cannot both fit keep. */
        ck_assert_msg(loading.faults.count == (order ? 2u : 1u) && text_starts_with(printed, "schedule.conf:2: ") && strstr(printed, cases[i].words), "%s\n%s", text, printed);
        loading_end(&loading);
    }
    loading_expect(GOOD_MAIN, "schedule = ( { " NAMED "keep = \"until account\"; per_tenant = { column = \"p\"; };\n" TABLE " } );", "schedule.conf:1: ",
                   "takes the place of a period by age, and keep has none");
    loading_expect(GOOD_MAIN, "schedule = ( { " NAMED "keep = \"1 year\"; per_tenant = { column = \"p\"; };\ntargets = ( { table = \"t\"; tenant = \"none\"; since = \"s\"; } ); } );",
                   "schedule.conf:2: ", "per_tenant gives tenants periods of their own, which tenant = \"none\" cannot have");
    loading_expect("stores = { main = { url = \"postgresql://h/d\"; }; }; schedule = \"schedule.conf\";",
                   "schedule = ( { " NAMED "keep = \"1 year\"; per_tenant = { column = \"p\"; };\n" TABLE " } );", "schedule.conf:1: ", "per_tenant needs the tenants query");
}
END_TEST

#define STAGES(one, two)                                                                                                               \
    "schedule = ( { " NAMED "anonymize = \"1 year\"; keep = \"forever\"; targets = ( { table = \"t\"; tenant = \"c\"; since = \"s\"; " one " } ); },\n" \
    "{ data = \"Later\"; basis = \"b\"; anonymize = \"2 years\"; keep = \"forever\"; targets = ( { table = \"public.t\"; tenant = \"c\"; since = \"s\"; " two " } ); } );"

START_TEST(stages_against_each_other) {
    loading_expect(GOOD_MAIN, STAGES("columns = [ \"null: x\" ];", "columns = [ \"fixed(-): x\" ];"), "schedule.conf:2: ",
                   "columns: \"x\" is changed in another way");
    loading_expect(GOOD_MAIN, STAGES("marker = \"m\"; columns = [ \"null: x\" ];", "marker = \"m\"; columns = [ \"null: x\" ];"), "schedule.conf:2: ",
                   "name a marker of its own");
}
END_TEST

START_TEST(rules_against_each_other) {
    loading_expect(GOOD_MAIN, "schedule = ( { " NAMED "keep = \"1 year\"; targets = ( { table = \"t\"; tenant = \"c\"; since = \"s\"; },\n"
                              "{ table = \"public.t\"; tenant = \"c\"; since = \"s\"; } ); } );", "schedule.conf:2: ", "is already a target of this rule (line 1)");
    loading_expect(GOOD_MAIN, "schedule = ( { " NAMED "keep = \"account + 1 year\"; at_least = \"1 year\"; targets = (\n{ table = \"t\"; tenant = \"c\"; } ); } );",
                   "schedule.conf:2: ", "at_least counts from the record's birth, and since is missing");
    static const char floored[] =
        "schedule = ( { " NAMED "keep = \"7 years\"; at_least = \"7 years\"; targets = ( { table = \"invoices\"; tenant = \"c\"; since = \"s\"; } ); },\n"
        "{ data = \"E\"; basis = \"b\"; keep = \"until account\"; targets = ( { table = \"customers\"; tenant = \"id\";\n"
        "  dependents = [ \"orders.customer_id\", \n \"public.invoices.order_id = orders.id\" ]; } ); } );";
    loading_expect(GOOD_MAIN, "schedule = ( { " NAMED "keep = \"7 years\"; at_least = \"7 years\";\n"
                              "targets = ( { table = \"t\"; tenant = \"c\"; since = \"s\"; dependents = \"t.parent_id\"; } ); } );", "schedule.conf:2: ",
                   "the dependent \"t\" must be kept at least 7 years");
    loading_expect(GOOD_MAIN, floored, "schedule.conf:4: ",
                   "\"E\", table \"customers\": the dependent \"public.invoices\" must be kept at least 7 years by \"D\" (line 1), so it cannot go with its parent");
}
END_TEST

START_TEST(stores) {
    static const struct wrong cases[] = {
        {"stores = { };", "no store is named; write stores = {"},
        {"stores = \"x\";", "stores is a text; write stores = { … };"},
        {"stores = { main = { }; };", "store \"main\": url is missing"},
        {"stores = { main = \"postgresql://h/d\"; };", "store \"main\": is not a group"},
        {"stores = { main = { url = \"postgresql://h/d\"; usr = \"x\"; }; };", "unknown setting \"usr\"; did you mean \"url\"?"},
        {"stores = { Main = { url = \"postgresql://h/d\"; }; };", "the name is also the name of its credential"},
        {"stores = { main = { url = \"mysql://h/d\"; }; };", "the URL has an unknown scheme; write postgresql://"},
        {"stores = { main = { url = \"rediss://h/0\"; }; };", "TLS to Redis, which is not supported"},
        {"stores = { main = { url = \"postgresql://me:hunter2@h/d\"; }; };", "the URL holds a password, and this file may be read by others; take it out and put it into the credential \"main\""},
        {"stores = { main = { url = \"postgresql://me@h/d?sslmode=require&password=hunter2\"; }; };", "the URL holds a password"},
        {"stores = { main = { url = \"postgresql://me@h/d\"; }; cache = { url = \"redis://:hunter2@h\"; }; };", "the URL holds a password"},
        {"stores = { main = { url = \"postgresql://me@h/d\"; }; docs = { url = \"mongodb://u:hunter2@h1,h2/d\"; }; };", "the URL holds a password"},
        {"stores = { main = { url = \"postgresql://h/d\"; }; }; sores = 1;", "unknown setting \"sores\"; did you mean \"stores\"?"},
    };
    static const char frame[] = "\n%s\nschedule = ( { " NAMED "keep = \"1 day\"; targets = ( { table = \"t\"; tenant = \"c\"; since = \"s\"; } ); } );";
    EXPECT_ALL_MAIN(cases, frame);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct loading loading;
        char text[2048];
        (void)snprintf(text, sizeof text, "%s\nschedule = ( );", cases[i].text);
        loading_load_bytes(&loading, text, strlen(text), NULL, 0, true);
        ck_assert_msg(!strstr(loading_print(&loading), "hunter2"), "a password is shown");
        loading_end(&loading);
    }
    loading_expect("stores = { a = { url = \"postgresql://h/d\"; }; b = { url = \"postgres://h/e\"; }; };\n"
                   "schedule = ( { " NAMED "keep = \"1 day\";\n" TABLE " } );", NULL, "lapsed.conf:3: ", "there are several PostgreSQL stores; name one: store = \"a\" or \"b\"");
    loading_expect("stores = { a = { url = \"redis://h/0\"; }; };\nschedule = ( { " NAMED "keep = \"1 day\";\n" TABLE " } );", NULL, "lapsed.conf:3: ",
                   "no PostgreSQL store is configured; add one to stores");
}
END_TEST

START_TEST(tenants) {
    static const struct wrong cases[] = {
        {"ends = \"account\";", "tenants: query is missing; write query ="},
        {"query = \"SELECT 1\"; collection = \"c\";", "tenants: both a query and a collection are given"},
        {"query = \"SELECT 1\"; pipeline = \"[]\";", "both a query and a pipeline are given"},
        {"collection = \"c\";", "collection and pipeline go together, and pipeline is missing"},
        {"collection = \"c\"; pipeline = \"{}\";", "the pipeline is not a JSON array"},
        {"collection = \"c\"; pipeline = \"[{\\\"$out\\\": 1}]\";", "the pipeline has $out"},
        {"query = \"TABLE customers\";", "the query is not a query; begin it with SELECT"},
        {"query = \"SELECT 1; SELECT 2\";", "the query has a semicolon"},
        {"query = \"SELECT 1\"; ends = [ \"a\", \"a\" ];", "the end \"a\" stands twice"},
        {"query = \"SELECT 1\"; ends = [ \"Account\" ];", "the end \"Account\" is not a name"},
        {"query = \"SELECT 1\"; ends = [ \"tenant\" ];", "an end cannot be called \"tenant\""},
        {"query = \"SELECT 1\"; ends = [ \"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\", \"i\" ];", "there are more than 8 ends"},
        {"query = \"SELECT 1\"; store = \"docs\";", "store = \"docs\" is MongoDB, but this needs PostgreSQL"},
        {"query = \"SELECT 1\"; personal = \"yes\";", "personal is neither true nor false"},
        {"qeury = \"SELECT 1\"; query = \"SELECT 1\";", "unknown setting \"qeury\"; did you mean \"query\"?"},
    };
    EXPECT_ALL_MAIN(cases, "stores = { main = { url = \"postgresql://h/d\"; }; docs = { url = \"mongodb://h/d\"; }; };\ntenants = { %s };\n"
                           "schedule = ( { " NAMED "keep = \"1 day\"; targets = ( { table = \"t\"; tenant = \"c\"; since = \"s\"; } ); } );");
}
END_TEST

START_TEST(settings) {
    static const struct wrong cases[] = {
        {"sweep = { every = \"1 month\"; };", "every = \"1 month\" is not a duration; write a number and ms, seconds"},
        {"sweep = { every = 5; };", "every = 5 is a bare number"},
        {"sweep = { every = \"0 days\"; };", "every = \"0 days\" is out of range; write one from 1 second to 31 days"},
        {"sweep = { window = \"1-5\"; };", "window = \"1-5\" is not a time of day; write two UTC times"},
        {"sweep = { window = \"01:00-25:00\"; };", "is not a time of day"},
        {"sweep = { window = \"05:00-05:00\"; };", "has no length; leave it out"},
        {"sweep = { load = \"brutal\"; };", "load = \"brutal\" is unknown; write \"gentle\", \"normal\" or \"full\""},
        {"sweep = { evry = \"1 day\"; };", "unknown setting \"evry\"; did you mean \"every\"?"},
        {"notice = \"soon\";", "notice = \"soon\" is not a duration"},
        {"batch = { rows = 0; };", "rows is not a number from 1 to 1000000"},
        {"batch = { rows = \"5\"; };", "rows is not a number from 1"},
        {"throttle = { query = \"DELETE FROM a\"; };", "the query "},
        {"throttle = { lock_waits = -1; };", "lock_waits is not a number from 0 to"},
        {"throttle = { lag = \"1 s\"; };", "unknown setting \"lag\""},
        {"batch = { workers = 17; };", "workers is not a number from 1 to 16; write one without quotes, such as workers = 2"},
        {"batch = { time = \"2 hours\"; };", "is out of range; write one from 1 ms to 1 minute"},
        {"journal = { segment = \"64 MB\"; };", "segment = \"64 MB\" is not a size; write a number and B, KiB, MiB or GiB, such as \"64 MiB\""},
        {"journal = { segment = \"1 B\"; };", "is out of range; write one from 4 KiB to 16 GiB"},
        {"journal = { retention = \"1 year\"; };", "unknown setting \"retention\"; known here are \"folder\", \"segment\", \"segment_age\", \"reserve\", \"keep\" or \"keep_evidence\""},
        {"journal = { keep = \"7\"; };", "keep: "},
        {"journal = { keep = \"1 year\"; keep_evidence = \"13 months\"; };", "keep_evidence = \"13 months\" is longer than keep = \"1 year\", so evidence would outlast the entries that it belongs to; write keep_evidence = \"1 year\" or shorter"},
        {"journal = { keep_evidence = \"8 years\"; };", "keep_evidence = \"8 years\" is longer than keep = \"7 years\""},
        {"journal = \"x\";", "journal is a text; write journal = { … };"},
        {"clock = { tolerance = \"2 days\"; };", "is out of range"},
        {"throttel = { };", "unknown setting \"throttel\""},
        {"state = \"\";", "state is empty"},
    };
    EXPECT_ALL_MAIN(cases, "stores = { main = { url = \"postgresql://h/d\"; }; };\n%s\n"
                           "schedule = ( { " NAMED "keep = \"1 day\"; targets = ( { table = \"t\"; tenant = \"c\"; since = \"s\"; } ); } );");
}
END_TEST

START_TEST(faults_are_sorted_and_doubles_go) {
    struct arena *arena = arena_new();
    struct faults faults = {.arena = arena};
    fault_add(&faults, (struct place){"b", 1}, "one");
    fault_add(&faults, (struct place){"a", 10}, "two");
    fault_add(&faults, (struct place){"a", 9}, "three %d", 3);
    fault_add(&faults, (struct place){"a", 10}, "two");
    fault_add(&faults, (struct place){"c", 0}, "whole");
    faults_sort(&faults);
    loading_expect_print(&faults, "a:9: three 3\na:10: two\nb:1: one\nc: whole\n");
    arena_free(arena);
}
END_TEST

UNIT_MAIN("schedule/faults", rules, periods, anonymization, targets, patterns_of_keys, ends_and_tenants, columns, dependents, periods_of_tenants,
          stages_against_each_other, rules_against_each_other, stores, tenants, settings, faults_are_sorted_and_doubles_go)

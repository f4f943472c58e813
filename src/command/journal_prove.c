#include "base/time.h"
#include "command/journal.h"
#include "command/table.h"
#include "command/verbs.h"
#include "journal/prove.h"
#include "journal/sentence.h"
#include "sweep/month_key.h"
#include "sweep/tenant_name.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROVEN = 0, NOT_PROVEN = 1, PROVEN_UNSIGNED = 2, MOST_PROOF = 1 << 20, MOST_NAMES = 4 };

static void free_schedule(struct schedule **schedule) { schedule_free(*schedule); }
static void free_arena(struct arena **arena) { arena_free(*arena); }

/* ---- what the record may be called ---- */

static bool is_integer(const char *text) {
    const char *digits = text + (*text == '-');
    size_t length = strlen(digits);
    return length && length < 20 && strspn(digits, "0123456789") == length && (*digits != '0' || !digits[1]);
}

static bool is_uuid(const char *text) {
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (!text[i] || (dash ? text[i] != '-' : !strchr("0123456789abcdef", text[i]))) return false;
    }
    return !text[36];
}

static const char *one_value(struct arena *arena, const char *store, const char *target, const char *format, const char *key) {
    struct buf name __attribute__((cleanup(buf_free))) = {.text = NULL};
    evidence_name_begin(&name, store, target);
    if (format) buf_printf(&name, ",{\"%s\":\"%s\"}", format, key);
    else evidence_name_bytes(&name, key, strlen(key));
    evidence_name_end(&name);
    return arena_strdup(arena, buf_text(&name));
}

/* A key as people write it: the text itself, or what a MongoDB _id of another type looks like. */
static size_t plain_names(struct arena *arena, const char *store, const char *target, const char *key, const char *names[MOST_NAMES]) {
    size_t count = 0;
    names[count++] = one_value(arena, store, target, NULL, key);
    if (is_integer(key)) names[count++] = one_value(arena, store, target, "$numberLong", key);
    if (strlen(key) == 24 && strspn(key, "0123456789abcdef") == 24) names[count++] = one_value(arena, store, target, "$oid", key);
    if (is_uuid(key)) names[count++] = one_value(arena, store, target, "$uuid", key);
    return count;
}

static void add_value(struct buf *name, const json_t *value) {
    char *json = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (json_is_string(value)) {
        evidence_name_bytes(name, json_string_value(value), json_string_length(value));
    } else if (json_is_integer(value)) { /* 17 for "17": identities are texts */
        evidence_name_bytes(name, json, strlen(json));
    } else {
        buf_add_char(name, ',');
        buf_add(name, json);
    }
    free(json);
}

/* ["a","b"]: the values of a composite key in its order, or one value with its type. */
static const char *array_name(struct arena *arena, const char *store, const char *target, const char *key) {
    json_t *array = json_loads(key, JSON_REJECT_DUPLICATES, NULL);
    struct buf name __attribute__((cleanup(buf_free))) = {.text = NULL};
    bool right = json_is_array(array) && json_array_size(array) > 0;
    evidence_name_begin(&name, store, target);
    for (size_t i = 0; i < json_array_size(array); i++) add_value(&name, json_array_get(array, i));
    evidence_name_end(&name);
    json_decref(array);
    return right ? arena_strdup(arena, buf_text(&name)) : NULL;
}

static struct prove_candidate *candidates_of(struct arena *arena, const struct month_key *keys, size_t n_keys, const char *const *names, size_t n_names) {
    struct prove_candidate *candidates = ARENA_ARRAY(arena, struct prove_candidate, n_keys * n_names);
    for (size_t i = 0; i < n_keys; i++) {
        struct evidence_key key = evidence_key(keys[i].bytes);
        for (size_t j = 0; j < n_names; j++) {
            struct prove_candidate *candidate = &candidates[i * n_names + j];
            candidate->name = names[j];
            evidence_r(&key, names[j], strlen(names[j]), candidate->r);
            candidate->leaf = evidence_leaf(candidate->r, names[j], strlen(names[j]));
        }
        explicit_bzero(&key, sizeof key);
    }
    return candidates;
}

/* ---- making a proof ---- */

static int write_proof(const struct invocation *invocation, const struct proof *proof) {
    struct buf text __attribute__((cleanup(buf_free))) = {.text = NULL};
    const char *path = command_value(invocation, "out");
    struct err err;
    proof_write(proof, &text);
    if (!path) return fputs(buf_text(&text), invocation->out) < 0 || fflush(invocation->out) ? EXIT_FILES : PROVEN;
    if (text_replace_file(path, buf_text(&text), text.length, 0644, &err)) return command_fail_err(invocation, &err);
    return PROVEN;
}

/* As the journal names the tenant; NULL: any. Without a configuration the key that lies in the state folder tells. */
static int tenant_asked(const struct invocation *invocation, const struct schedule *schedule, const char *state, struct arena *arena, const char **ret_tenant,
                        struct err *err) {
    const char *tenant = command_value(invocation, "tenant");
    bool personal = schedule ? schedule->tenants.personal : !access(arena_printf(arena, "%s/tenants.key", state), F_OK);
    if (tenant && personal) return tenant_name_asked(state, tenant, arena, ret_tenant, err);
    *ret_tenant = tenant;
    return 0;
}

static int prove_with(const struct invocation *invocation, const char *folder, const char *state, const char *tenant, struct arena *arena,
                      const char *const *names, size_t n_names) {
    struct month_key *keys;
    size_t n_keys;
    struct proof proof;
    const char *why;
    struct err err;
    if (month_keys_read(state, "evidence", arena, &keys, &n_keys, &err)) return command_fail_err(invocation, &err);
    if (!n_keys)
        return command_fail(invocation, NOT_PROVEN, "no proof: there is no evidence key in %s; without the key of its month no record can be told from another",
                            state);
    const struct prove_candidate *candidates = candidates_of(arena, keys, n_keys, names, n_names);
    int failed = journal_prove(folder, candidates, n_keys * n_names, tenant, arena, &proof, &why, &err);
    explicit_bzero(keys, n_keys * sizeof *keys);
    if (failed) return command_fail_err(invocation, &err);
    if (why) return command_fail(invocation, NOT_PROVEN, "no proof: %s", why);
    return write_proof(invocation, &proof);
}

static int prove(const struct invocation *invocation) {
    __attribute__((cleanup(free_schedule))) struct schedule *schedule = NULL;
    __attribute__((cleanup(free_arena))) struct arena *arena = arena_new();
    const char *folder = command_value(invocation, "folder"), *state = command_value(invocation, "state");
    const char *store = command_value(invocation, "store"), *target = command_value(invocation, "target"), *key = command_value(invocation, "key");
    if (!store || !target || !key) return command_fail(invocation, EXIT_USAGE, "which record? Give --store, --target and --key (or --verify FILE)");
    if (!folder || !state) {
        int status = command_load(invocation, true, &schedule);
        if (status) return status;
        if (!folder) folder = schedule->settings.journal_folder;
        if (!state) state = schedule->settings.state_folder;
    }
    const char *names[MOST_NAMES];
    size_t n_names = 1;
    if (*key == '[') names[0] = array_name(arena, store, target, key);
    else n_names = plain_names(arena, store, target, key, names);
    if (!names[0])
        return command_fail(invocation, EXIT_USAGE, "--key begins with \"[\" but is no JSON array; write the key's values as [\"a\",\"b\"]");
    const char *tenant;
    struct err err;
    if (tenant_asked(invocation, schedule, state, arena, &tenant, &err)) return command_fail_err(invocation, &err);
    return prove_with(invocation, folder, state, tenant, arena, names, n_names);
}

/* ---- checking one ---- */

static void say_proof(const struct invocation *invocation, struct arena *arena, const struct proof *proof, const struct entry_line *intent,
                      const struct entry_line *outcome, const struct note *note, bool is_signed) {
    struct buf told __attribute__((cleanup(buf_free))) = {.text = NULL};
    struct batch_story *story = batch_story_new(&intent->entry, NULL);
    batch_story_end(story, &outcome->entry);
    batch_story_tell(story, &told);
    batch_story_free(story);
    (void)fprintf(invocation->out, "proven: the record %s was in this batch:\n", text_printable(arena, proof->name));
    (void)fprintf(invocation->out, "  %s  %s\n", time_format_seconds(intent->entry.time_us).text, text_printable(arena, buf_text(&told)));
    if (proof->checkpoint)
        (void)fprintf(invocation->out, "%s: entries %lld and %lld of the log \"%s\", in its checkpoint of %lld entries%s\n", is_signed ? "signed" : "signature not checked",
                      (long long)intent->seq, (long long)outcome->seq, text_printable(arena, note->origin), (long long)note->size,
                      is_signed ? "" : "; --vkey checks whose it is");
    else
        (void)fprintf(invocation->out,
                  "unsigned: entries %lld and %lld of the journal say so; that they stand in it, compare with a copy of the journal, or by their hashes\n",
                  (long long)intent->seq, (long long)outcome->seq);
}

static void print_proof(const struct invocation *invocation, const struct proof *proof, const struct entry_line *intent, const struct entry_line *outcome,
                        bool is_signed) {
    (void)fprintf(invocation->out, "{\"proven\":true,\"signed\":%s,\"name\":%s,\"intent\":%lld,\"outcome\":%lld,\"time\":\"%s\"}\n", is_signed ? "true" : "false", proof->name,
                  (long long)intent->seq, (long long)outcome->seq, time_format(intent->entry.time_us).text);
}

/* Whether the key that was given signed the checkpoint; without a key nobody says so. NULL: it is as asked. */
static const char *judge_signature(const struct proof *proof, const struct note *note, const struct note_keys *keys, bool *ret_signed) {
    enum note_verdict verdict = proof->checkpoint ? note_verify(note, keys) : NOTE_UNKNOWN;
    *ret_signed = keys->count && verdict == NOTE_SIGNED;
    if (!keys->count || *ret_signed) return NULL;
    return !proof->checkpoint ? "it bears no signed checkpoint" : verdict == NOTE_FORGED ? "the checkpoint's signature is wrong" : "the given key did not sign its checkpoint";
}

static int verify(const struct invocation *invocation, const char *path) {
    __attribute__((cleanup(free_arena))) struct arena *arena = arena_new();
    char *text;
    size_t length;
    struct proof proof;
    struct entry_line intent, outcome;
    struct note note;
    struct note_keys keys = {.count = 0};
    const char *vkey = command_value(invocation, "vkey");
    bool is_signed;
    struct err err;
    if (vkey && journal_read_vkey(vkey, &keys, &err)) return err.code == ERR_CONFIG ? command_fail(invocation, EXIT_USAGE, "%s", err.text) : command_fail_err(invocation, &err);
    if (text_read_file(path, MOST_PROOF, &text, &length, &err)) return command_fail_err(invocation, &err);
    int failed = proof_read(text, length, arena, &proof, &intent, &outcome, &note, &err);
    free(text);
    if (failed) return command_fail(invocation, NOT_PROVEN, "%s proves nothing: %s", path, err.text);
    const char *objection = judge_signature(&proof, &note, &keys, &is_signed);
    if (objection) return command_fail(invocation, NOT_PROVEN, "%s proves nothing: %s", path, objection);
    if (invocation->json) print_proof(invocation, &proof, &intent, &outcome, is_signed);
    else say_proof(invocation, arena, &proof, &intent, &outcome, &note, is_signed);
    return fflush(invocation->out) ? EXIT_FILES : is_signed ? PROVEN : PROVEN_UNSIGNED;
}

static int run(const struct invocation *invocation) {
    const char *path = command_value(invocation, "verify");
    return path ? verify(invocation, path) : prove(invocation);
}

static const struct option options[] = {
    {"store", "NAME", "the store that the record was in"},
    {"target", "TARGET", "its table, collection or key pattern, as the schedule writes it"},
    {"key", "KEY", "its identity; of several values a JSON array: '[\"7\",\"2\"]'"},
    {"tenant", "ID", "the batch must hold records of this tenant"},
    {"out", "FILE", "write the proof there instead of to the standard output"},
    {"verify", "FILE", "check a proof: needs no key, no journal and no database"},
    {"vkey", "KEY", "with --verify: the public key that must have signed, or a file of such"},
    {"folder", "FOLDER", "this journal instead of the configured one"},
    {"state", "FOLDER", "the folder with the evidence keys instead of the configured one"},
};

const struct verb verb_journal_prove = {
    .name = "journal prove",
    .group = "After a sweep",
    .summary = "proof for a stranger that one record was destroyed",
    .operands = "",
    .notes = "Exits 0 with a proof, 1 if there is none (it says why) or the file proves nothing,\n"
             "2 if a checked proof is right, but its signature was not checked (--vkey) or it has none.\n",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};

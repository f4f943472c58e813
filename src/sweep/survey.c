#include "sweep/sweep_internal.h"

#include "base/log.h"
#include "base/time.h"

#include <stdlib.h>

/* ---- what stands ---- */

void survey_open(struct survey *survey, const struct schedule *schedule) {
    *survey = (struct survey){.catalogs = xcalloc(schedule->n_stores, sizeof *survey->catalogs),
                              .targets = xcalloc(schedule->n_targets, sizeof *survey->targets),
                              .due = xcalloc(schedule->n_targets, sizeof *survey->due)};
}

void survey_close(struct survey *survey, const struct schedule *schedule) {
    for (size_t i = 0; i < schedule->n_stores; i++) arena_free(survey->catalogs[i].arena);
    for (size_t i = 0; i < schedule->n_targets; i++) arena_free(survey->targets[i].arena);
    free(survey->catalogs);
    free(survey->targets);
    free(survey->due);
    *survey = (struct survey){0};
}

bool survey_is_due(struct survey *survey, const struct schedule *schedule, int64_t now_us) {
    bool again = !survey->round_us || now_us - survey->round_us >= schedule->settings.survey_every_us || now_us < survey->round_us;
    if (!again) return survey->n_due > 0;
    survey->round_us = now_us;
    survey->n_due = schedule->n_targets;
    for (size_t i = 0; i < schedule->n_targets; i++) survey->due[i] = true;
    return true;
}

static void replace(struct standing *standing, struct standing answer) {
    arena_free(standing->arena);
    *standing = answer;
}

/* ---- one lane's questions ---- */

static void ask_next(struct lane *lane);

static const char *undecidable_text(const char *code) {
    static const struct { const char *code, *text; } texts[] = {
        {"since-empty", "records have no point in time to count from; they are kept"},
        {"since-future", "records have a point in time in the future; they are kept"},
        {"since-type", "records have something else than a point in time there; they are kept"},
        {"tenant-empty", "records belong to no tenant; they are kept"},
        {"tenant-unknown", "records belong to a tenant that the tenants query does not know; they are kept"},
        {"tenant-ambiguous", "records could belong to two tenants; they are kept"},
        {"field-unlisted", "records have a field that columns does not list; they are not anonymized"},
        {"only-unreached", "records are let in by no rule's `only`; they are kept"},
        {"survey-sampled", "the target is too large to be counted within timeout.statement: its figures are of a sample"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (text_equal(texts[i].code, code)) return texts[i].text;
    return "records cannot be decided; they are kept";
}

static void note_refused(struct lane *lane, struct standing *answer, const struct target *target) {
    const struct err *err = &lane->job.err;
    log_warning("%s; the survey leaves it out", err->text);
    struct finding *finding = ARENA_NEW(answer->arena, struct finding);
    *finding = (struct finding){.code = "survey-refused", .rule = target ? target->rule->data : NULL, .store = lane->conf->name,
                                .place = target ? target->name : NULL, .count = 1,
                                .text = arena_printf(answer->arena, "the store refused to be asked (%s%s%s); what cannot be decided there is not known",
                                                     err_code_name(err->code), *err->detail ? " " : "", err->detail)};
    answer->findings = finding;
    answer->n_findings = 1;
}

static void over(struct lane *lane) {
    if (lane->answer.arena) arena_free(lane->answer.arena);
    lane->answer = (struct standing){0};
    sweep_lane_over(lane);
}

/* True if the answer can be used; false: the store does not answer any more, the lane is over and the next sweep goes on. What the
 * sweep itself did there is verified already. */
static bool answered(struct lane *lane, const struct target *target) {
    if (!lane->job.failed) return true;
    if (lane->job.err.code != ERR_UNAVAILABLE) {
        note_refused(lane, &lane->answer, target);
        return true;
    }
    log_warning("%s; the survey goes on at the next sweep", lane->job.err.text);
    if (target) {
        lane->sweep->engine->survey.due[target->number] = true;
        lane->sweep->engine->survey.n_due++;
    }
    over(lane);
    return false;
}

static void begin_answer(struct lane *lane) {
    lane->answer = (struct standing){.arena = arena_new(), .sweep = lane->sweep->report.number};
}

/* ---- the catalog ---- */

static int run_catalog(struct job *job, struct store *store, struct err *err) {
    struct standing *answer = &LANE_OF(job, job)->answer;
    if (!store_driver(store)->advise) return 0;
    return store_driver(store)->advise(store, answer->arena, &answer->findings, &answer->n_findings, err);
}

/* Advice is for people who write a schedule. */
static void drop_advice(struct standing *answer) {
    struct finding *kept = ARENA_ARRAY(answer->arena, struct finding, answer->n_findings);
    size_t n_kept = 0;
    for (size_t i = 0; i < answer->n_findings; i++)
        if (answer->findings[i].grade != FINDING_ADVICE) kept[n_kept++] = answer->findings[i];
    answer->findings = kept;
    answer->n_findings = n_kept;
}

static void on_catalog(struct job *job) {
    struct lane *lane = LANE_OF(job, job);
    if (!answered(lane, NULL)) return;
    drop_advice(&lane->answer);
    replace(&lane->sweep->engine->survey.catalogs[engine_store_index(lane->sweep->engine, lane->conf)], lane->answer);
    lane->answer = (struct standing){0};
    ask_next(lane);
}

/* ---- targets ---- */

static int run_target(struct job *job, struct store *store, struct err *err) {
    struct lane *lane = LANE_OF(job, job);
    return store_driver(store)->undecidable(store, lane->surveyed, lane->sweep->plan->now_us, lane->answer.arena, &lane->undecidable,
                                            &lane->n_undecidable, err);
}

static void note_undecidable(struct lane *lane) {
    struct standing *answer = &lane->answer;
    const struct target *target = lane->surveyed;
    struct finding *findings = ARENA_ARRAY(answer->arena, struct finding, lane->n_undecidable);
    for (size_t i = 0; i < lane->n_undecidable; i++) {
        const struct undecidable *item = &lane->undecidable[i];
        if (!item->count) continue;
        const char *text = undecidable_text(item->code);
        findings[answer->n_findings++] = (struct finding){
            .code = item->code, .grade = FINDING_PATIENT, .rule = target->rule->data, .store = lane->conf->name,
            .place = item->column ? arena_printf(answer->arena, "%s.%s", target->name, item->column) : target->name, .count = item->count,
            .text = text};
        if (!text_equal(item->code, "survey-sampled")) answer->records += item->count;
    }
    answer->findings = findings;
}

static void on_target(struct job *job) {
    struct lane *lane = LANE_OF(job, job);
    struct survey *survey = &lane->sweep->engine->survey;
    if (!answered(lane, lane->surveyed)) return;
    if (!job->failed) note_undecidable(lane);
    replace(&survey->targets[lane->surveyed->number], lane->answer);
    lane->answer = (struct standing){0};
    ask_next(lane);
}

/* The next target of this store that is still to be asked; NULL: none, or there is no time left for it. */
static const struct target *next_target(struct lane *lane) {
    const struct sweep *sweep = lane->sweep;
    struct survey *survey = &sweep->engine->survey;
    for (size_t i = 0; i < sweep->schedule->n_targets; i++) {
        const struct target *target = sweep->schedule->targets[i];
        if (target->store != lane->conf || !survey->due[i]) continue;
        if (!sweep->bad[i] && (sweep->stopping || time_monotonic_us() >= lane->survey_until_us)) return NULL;
        survey->due[i] = false;
        survey->n_due--;
        if (!sweep->bad[i]) return target;
    }
    return NULL;
}

static void ask_next(struct lane *lane) {
    lane->surveyed = next_target(lane);
    if (!lane->surveyed) {
        over(lane);
        return;
    }
    begin_answer(lane);
    lane_submit(lane, run_target, on_target);
}

void survey_lane(struct lane *lane) {
    lane->survey_until_us = time_monotonic_us() + lane->sweep->schedule->settings.survey_budget_us;
    begin_answer(lane);
    lane_submit(lane, run_catalog, on_catalog);
}

/* ---- the report ---- */

static void report_standing(struct sweep *sweep, const struct standing *standing, bool fresh) {
    if (!standing->arena || (standing->sweep == sweep->report.number) != fresh) return;
    for (size_t i = 0; i < standing->n_findings; i++) report_finding(sweep, standing->findings[i]);
}

void survey_report(struct sweep *sweep, bool fresh) {
    const struct survey *survey = &sweep->engine->survey;
    for (size_t i = 0; i < sweep->schedule->n_stores; i++) report_standing(sweep, &survey->catalogs[i], fresh);
    for (size_t i = 0; i < sweep->schedule->n_targets; i++) {
        const struct standing *standing = &survey->targets[i];
        report_standing(sweep, standing, fresh);
        if (fresh) sweep->rules[sweep->schedule->targets[i]->rule->number].undecidable += standing->records;
    }
}

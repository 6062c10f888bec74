/* SPDX-License-Identifier: BSD-3-Clause */
/* report.c -- how far a move is, and what it took: for people, or as JSON lines */
#include "apps/farbus-migrate/report.h"

#include "apps/common/tool.h"
#include "base/clock.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BAR_WIDTH 30

void report_start(struct report *report)
{
	report->start_ns = clock_now_ns();
	report->next_ns = report->start_ns;
}

static uint64_t ram_bytes(const struct place *place)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < place->talk->ram_count; i++)
		bytes += place->talk->table[i].len;
	return bytes;
}

static json_int_t figure(const json_t *answer, const char *of, const char *name)
{
	if (of)
		answer = json_object_get(answer, of);
	return json_integer_value(json_object_get(answer, name));
}

/* What we know, and what QEMU says. The caller owns it. */
static json_t *figures(const struct report *report, const struct place *place, struct qmp *qmp)
{
	struct move_counters moved = move_counters(place->mover);
	struct qemu_stream_stats stream;
	json_t *document, *answer = NULL;

	qemu_stream_stats(place->stream, &stream);
	if (qmp_call(qmp, "query-migrate", NULL, &answer) < 0)
		answer = json_object();
	document =
		json_pack("{s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "total_ms",
			  (double)(clock_now_ns() - report->start_ns) / 1e6, "ram_bytes",
			  (json_int_t)ram_bytes(place), "written_bytes", (json_int_t)moved.bytes,
			  "stream_bytes", (json_int_t)stream.forwarded, "qemu_bytes",
			  (json_int_t)stream.bytes, "pages", (json_int_t)stream.pages, "zero_pages",
			  (json_int_t)stream.zeros, "writes", (json_int_t)moved.runs, "rounds",
			  figure(answer, "ram", "dirty-sync-count"), "dirty_pages_per_s",
			  figure(answer, "ram", "dirty-pages-rate"), "remaining_bytes",
			  figure(answer, "ram", "remaining"));
	json_object_set_new(document, "predicted_stop_ms",
			    json_integer(figure(answer, NULL, "expected-downtime")));
	json_object_set_new(document, "qemu_downtime_ms",
			    json_integer(figure(answer, NULL, "downtime")));
	json_decref(answer);
	return document;
}

static void bar_print(struct report *report, const json_t *document)
{
	double all = (double)figure(document, NULL, "ram_bytes");
	double left = (double)figure(document, NULL, "remaining_bytes");
	int full = all > 0 && left <= all ? (int)((all - left) / all * BAR_WIDTH) : 0;
	char bar[BAR_WIDTH + 1];

	memset(bar, ' ', BAR_WIDTH);
	memset(bar, '=', (size_t)full);
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r[%s] round %lld, %.0f MB written, %lld pages/s dirtied, stop %lld ms  ",
		bar, (long long)figure(document, NULL, "rounds"),
		(double)figure(document, NULL, "written_bytes") / 1e6,
		(long long)figure(document, NULL, "dirty_pages_per_s"),
		(long long)figure(document, NULL, "predicted_stop_ms"));
	report->line = true;
}

void report_tick(struct report *report, const struct place *place, struct qmp *qmp)
{
	bool terminal = isatty(STDERR_FILENO) && !report->options->json;
	json_t *document;

	if ((!terminal && !report->options->json) || clock_now_ns() < report->next_ns)
		return;
	report->next_ns = clock_now_ns() + (terminal ? 200 * NS_PER_MS : NS_PER_S);
	document = figures(report, place, qmp);
	if (report->options->json) {
		json_object_set_new(document, "state", json_string("moving"));
		tool_json_print(document);
		fflush(stdout);
	} else {
		bar_print(report, document);
	}
	json_decref(document);
}

static void line_end(struct report *report)
{
	if (report->line)
		fputc('\n', stderr);
	report->line = false;
}

void report_commit(struct report *report)
{
	json_t *document;

	if (!report->options->json)
		return;
	document = json_pack("{s:s}", "state", "committing");
	tool_json_print(document);
	fflush(stdout);
	json_decref(document);
}

void report_moved(struct report *report, const struct place *place, struct qmp *qmp)
{
	double now_ms = (double)clock_wall_ns() / 1e6;
	json_t *document = figures(report, place, qmp);
	/* From QEMU's word that it stopped to the destination's that it runs. */
	double stop_ms = qmp->stop_us > 0 ? now_ms - (double)qmp->stop_us / 1e3 : 0;
	double ram = (double)figure(document, NULL, "ram_bytes");

	line_end(report);
	json_object_set_new(document, "stop_ms", json_real(stop_ms));
	json_object_set_new(document, "state", json_string("moved"));
	if (report->options->json)
		tool_json_print(document);
	else
		printf("moved %.0f MB of RAM in %.0f ms; stopped for %.1f ms; %lld rounds; %.0f MB "
		       "written (%.2f of RAM); %.2f MB through QEMU's stream (it made %.0f)\n",
		       ram / 1e6, json_number_value(json_object_get(document, "total_ms")), stop_ms,
		       (long long)figure(document, NULL, "rounds"),
		       (double)figure(document, NULL, "written_bytes") / 1e6,
		       ram > 0 ? (double)figure(document, NULL, "written_bytes") / ram : 0,
		       (double)figure(document, NULL, "stream_bytes") / 1e6,
		       (double)figure(document, NULL, "qemu_bytes") / 1e6);
	fflush(stdout);
	json_decref(document);
}

void report_stayed(struct report *report, const char *status)
{
	json_t *document;

	line_end(report);
	fprintf(stderr, "farbus-migrate: the guest was not moved; here it is '%s'\n", status);
	if (!report->options->json)
		return;
	document = json_pack("{s:s, s:s}", "state", "stayed", "status", status);
	tool_json_print(document);
	fflush(stdout);
	json_decref(document);
}

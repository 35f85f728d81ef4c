#!/bin/sh
# report.sh AIOX WORKER REFUSE - the page of --html is one file that needs no other and no script, with a plot for each
# piece of work and a row for each figure; headless Chromium finds in it what was measured. The JSON report has the
# same.
# shellcheck disable=SC2016  # the shells that are started expand their own variables
# shellcheck source=tests/cli/bench/common.sh
. "$(dirname "$0")/common.sh"

"$aiox" bench --size 4m --runtime 50ms --ramp_time 0 --rounds 2 --engine psync,glibc,aiox --direct 0,1 --iodepth 1,4,8 \
  --html page.html --output report.json >table 2>err || complain "aiox bench: $(cat err)"
[ ! -s err ] || complain "something on stderr that is no terminal: $(cat err)"
grep -q "$(printf '\033')" table && complain "colours in a file"
# Nothing is fetched: no address but anchors, no script, no import.
if grep -Eqi '(src|href|xlink:href)=|url\(|@import|<script|<link|<img|<iframe|https?://' page.html; then
  complain "the page refers to something: $(
    grep -Eio '(src|href|xlink:href)=.{20}|url\(.{20}|@import|<script|<link|<img|https?://.{20}' page.html | head -3)"
fi
if command -v python3 >/dev/null; then
  python3 - <<'END' || complain "the JSON report and the page do not agree"
import html, json, re, sys
report = json.load(open("report.json"))
assert report["format"] == "aiox-bench-1" and len(report["rows"]) == 18 and report["rounds"] == 2
for row in report["rows"]:
    for figure in row["figures"].values():
        assert len(figure["samples"]) == 2 and figure["min"] <= figure["median"] <= figure["max"], figure
    percentiles = [ns for _, ns in row["percentiles_ns"]]
    assert percentiles == sorted(percentiles)
    p99 = row["figures"].get("latency_p99_ns")  # where there were a hundred requests
    assert p99 is None or row["figures"]["latency_p50_ns"]["median"] <= p99["max"]
page = html.unescape(open("page.html").read())
for fact in list(report["machine"].values()) + [report["command"], report["subject"], report["started"]]:
    assert fact in page, fact
# No writing in a plot lies on other writing, nor outside of it: seven units a letter, and as high as wide and a half.
for svg in re.finditer(r'<svg viewBox="0 0 (\d+) (\d+)" role="img".*?</svg>', page, re.S):
    boxes = []
    for x, y, classes, text in re.findall(r'<text x="([-\d.]+)" y="([-\d.]+)" class="([^"]*)">([^<]*)<', svg.group(0)):
        width = 7 * len(text)
        left = float(x) - (width if "end" in classes else width / 2 if "middle" in classes else 0)
        box = (left, float(y) - 10, left + width, float(y) + 2, text)
        assert box[0] > -8 and box[2] < int(svg.group(1)) + 8 and box[3] < int(svg.group(2)), box
        for other in boxes:
            apart = box[0] >= other[2] or other[0] >= box[2] or box[1] >= other[3] or other[1] >= box[3]
            assert apart, (box, other)
        boxes.append(box)
    assert len(boxes) > 5
END
fi
expect 0 'psync +figure|latency, p99.9' "$aiox" bench --size 4m --runtime 20ms --rounds 1 --engine psync --full

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
  [ "$failures" -eq 0 ] || exit 1
  skip "no Chromium to open the page with"
}
timeout 60 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$work/profile" \
  --dump-dom "file://$work/page.html" >dom 2>/dev/null ||
  complain "Chromium does not open the page"
# Two of throughput against depth, six each of latency and CPU, and the legend's.
plots=$(grep -o '<svg viewBox="[^"]*" role="img"' dom | wc -l)
[ "$plots" -eq 14 ] || complain "$plots plots instead of 14"
[ "$(grep -o '<tr' dom | wc -l)" -eq 19 ] || complain "$(grep -o '<tr' dom | wc -l) rows of the table instead of 19"
for word in 'Throughput against depth' 'requests in flight (depth)' 'percentile of requests' 'CPU per request' \
  'aiox bench --size 4m'; do
  grep -qF "$word" dom || complain "the page has no \"$word\""
done
if grep -Eq 'NaN|inf[^o]|"[^"]*-nan' dom; then complain "the page has figures that are none"; fi
[ "$failures" -eq 0 ]

// html_style.h - how the page of html_report.cc looks, in light and dark.
#pragma once

namespace aiox::cli::bench {

inline constexpr const char* kHtmlStyle = R"(
:root { color-scheme: light dark; --back: #fbfbfa; --card: #ffffff; --text: #1d2126; --dim: #5d6671; --rule: #dfe3e8;
  --c0: #3565c7; --c1: #d9700f; --c2: #2b8a57; --c3: #c0355a; --c4: #7d4fc4; --c5: #0d8a9e; --c6: #8a6a1f;
  --c7: #6b7280; --good: #1f7a46; --warn: #a15c00; }
@media (prefers-color-scheme: dark) { :root { --back: #14171b; --card: #1c2026; --text: #e6e9ed; --dim: #9aa4b0;
  --rule: #343b45; --c0: #7ea6ff; --c1: #ffab5e; --c2: #66cf98; --c3: #ff8fa9; --c4: #b99bff; --c5: #5fd0e0;
  --c6: #d9bd6b; --c7: #aab2bd; --good: #66cf98; --warn: #ffbf69; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
main { max-width: 1220px; margin: 0 auto; padding: 28px 24px 48px; }
h1 { font-size: 25px; margin: 0; }
h2 { font-size: 18px; margin: 34px 0 4px; }
p { margin: 4px 0; max-width: 90ch; }
.dim { color: var(--dim); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; list-style: none; margin: 12px 0 0; padding: 0; }
.legend li { display: flex; align-items: center; gap: 7px; }
.swatch { width: 30px; height: 14px; flex: none; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(480px, 100%), 1fr)); gap: 16px;
  margin: 12px 0; }
.plots > div { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 14px 16px 8px; }
.plots svg { display: block; width: 100%; max-width: 680px; height: auto; }
svg text { fill: var(--text); font-size: 12px; }
svg .title { font-size: 14px; font-weight: 600; }
svg .dim { fill: var(--dim); }
svg .strong { font-weight: 600; }
svg .end { text-anchor: end; }
svg .middle { text-anchor: middle; }
svg .grid { stroke: var(--rule); stroke-width: 1; fill: none; }
svg .axis { stroke: var(--dim); stroke-width: 1; fill: none; }
svg .line { stroke: var(--c); stroke-width: 2; fill: none; stroke-linejoin: round; }
svg .mark { fill: var(--c); stroke: var(--card); stroke-width: 1; }
svg .whisker { stroke: var(--c); stroke-width: 1.2; fill: none; opacity: 0.7; }
svg .bar { fill: var(--c); opacity: 0.85; }
svg .spread { stroke: var(--text); stroke-width: 1.2; fill: none; opacity: 0.65; }
.s0 { --c: var(--c0); } .s1 { --c: var(--c1); } .s2 { --c: var(--c2); } .s3 { --c: var(--c3); }
.s4 { --c: var(--c4); } .s5 { --c: var(--c5); } .s6 { --c: var(--c6); } .s7 { --c: var(--c7); }
.wide { overflow-x: auto; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; margin: 12px 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 6px 12px; text-align: right; white-space: nowrap; vertical-align: top; }
th { color: var(--dim); font-weight: 600; border-bottom: 1px solid var(--rule); }
th.word, td.word { text-align: left; }
tr.group > * { border-top: 1px solid var(--rule); }
td small { display: block; color: var(--dim); font-size: 12px; }
td.reason { white-space: normal; text-align: left; color: var(--warn); }
td.more { color: var(--good); } td.less { color: var(--warn); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 18px; margin: 12px 0; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
code { font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
)";

}  // namespace aiox::cli::bench

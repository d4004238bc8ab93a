"""How the page looks: light and dark, wide and narrow, on screen and on paper."""

from __future__ import annotations

from typing import Final

# The series are told apart with any kind of colour vision, and against the card: a test says how
# well. Failed and succeeded runs are no red and green.
SERIES: Final = ("s0", "s1", "s2", "s3", "s4", "s5", "rest")

CSS: Final = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1b1f24; --faint: #59636e; --line: #d8dee4;
  --track: #eceff2; --good: #116329; --good-soft: #dafbe1; --bad: #a40e26; --bad-soft: #ffebe9;
  --look: #7d4e00; --look-soft: #fff4d1;
  --s0: #1f6feb; --s1: #d77015; --s2: #7f0879; --s3: #ee3652; --s4: #0c14ac; --s5: #710c0b;
  --rest: #8c959f; --negative: #cf222e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0d1117; --card: #161b22; --ink: #e6edf3; --faint: #9aa4af; --line: #30363d;
    --track: #262c34; --good: #56d364; --good-soft: #12351d; --bad: #ff8e86; --bad-soft: #46181a;
    --look: #e8b339; --look-soft: #3b2b06;
    --s0: #58a6ff; --s1: #e89b06; --s2: #9819f7; --s3: #c4ebe7; --s4: #f4d8a0; --s5: #b0421f;
    --rest: #6e7681; --negative: #ff7b72;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.25rem; max-width: 84rem; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 0 0 .5rem; }
h3 { font-size: 1rem; margin: 0 0 .5rem; }
p { margin: .35rem 0; }
p.lead, p.more, p.faint { color: var(--faint); }
p.more { font-style: italic; }
p.warning, p.well { padding: .6rem .8rem; border-radius: 6px; font-weight: 600; }
p.warning { background: var(--bad-soft); color: var(--bad); }
p.well { background: var(--good-soft); color: var(--good); }
section {
  background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 1rem; margin: 1rem 0;
}
.cards {
  display: grid; gap: 1.25rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr));
}
.card { min-width: 0; }
.beside { display: grid; gap: 1.25rem; grid-template-columns: minmax(0, 26rem) minmax(0, 1fr); }
h3 ~ h3 { margin-top: 1rem; }
svg { display: block; width: 100%; max-width: 40rem; height: auto; margin: .4rem 0 .8rem; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
svg .faint { fill: var(--faint); font-size: 11px; }
svg .end { text-anchor: end; }
svg .middle { text-anchor: middle; }
.track { fill: var(--track); } .grid { stroke: var(--line); } .axis { stroke: var(--faint); }
.s0 { fill: var(--s0); } .s1 { fill: var(--s1); } .s2 { fill: var(--s2); } .s3 { fill: var(--s3); }
.s4 { fill: var(--s4); } .s5 { fill: var(--s5); } .rest { fill: var(--rest); }
.negative { fill: var(--negative); } .succeeded { fill: var(--s0); } .partial { fill: var(--s1); }
.failed { fill: var(--s5); } .running { fill: var(--s2); } .abandoned { fill: var(--rest); }
.stack rect { stroke: var(--card); stroke-width: .75; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--faint); font-size: .85rem; padding: .2rem 0; }
th, td {
  text-align: left; vertical-align: top; padding: .3rem .9rem .3rem 0; font-size: .9rem;
  border-bottom: 1px solid var(--line); font-weight: 400; white-space: nowrap;
}
thead th, tfoot th, tfoot td { font-weight: 600; }
.sentence { white-space: normal; min-width: 18rem; }
.name { white-space: normal; min-width: 9rem; max-width: 24rem; }
.number.name { min-width: 5rem; } td.number { white-space: nowrap; }
.number { text-align: right; }
th:last-child, td:last-child { padding-right: 0; }
#summary ~ .scroll td, #summary ~ .scroll th { font-size: 1rem; }
td code, th code { font: .85em ui-monospace, monospace; }
.pill { display: inline-block; padding: 0 .5rem; border-radius: 1rem; white-space: nowrap; }
.pill.good { background: var(--good-soft); color: var(--good); }
.pill.bad { background: var(--bad-soft); color: var(--bad); }
.pill.look { background: var(--look-soft); color: var(--look); }
@media (max-width: 60rem) {
  .beside { grid-template-columns: minmax(0, 1fr); }
}
@media (max-width: 40rem) {
  body { padding: .6rem; }
  section { padding: .75rem; }
}
@media print {
  :root {
    color-scheme: light; --page: #fff; --card: #fff; --ink: #000; --faint: #444; --line: #bbb;
    --track: #eee; --good: #116329; --good-soft: #fff; --bad: #a40e26; --bad-soft: #fff;
    --look: #7d4e00; --look-soft: #fff;
    --s0: #1f6feb; --s1: #d77015; --s2: #7f0879; --s3: #ee3652; --s4: #0c14ac; --s5: #710c0b;
    --rest: #8c959f; --negative: #cf222e;
  }
  body { max-width: none; padding: 0; font-size: 10pt; print-color-adjust: exact; }
  section { border: 0; padding: 0; }
  .scroll { overflow: visible; }
  .cards, .beside { display: block; }
  #summary ~ .scroll td, #summary ~ .scroll th { font-size: 9pt; }
  th, td { font-size: 8pt; padding: .15rem .6rem .15rem 0; }
  .sentence { min-width: 12rem; }
  /* Many wide figures: rather on two lines than beyond the paper's edge. */
  .beside table { table-layout: fixed; }
  .beside th, .beside td { font-size: 7pt; padding-right: .3rem; }
  .beside .number { white-space: normal; min-width: 0; }
  .card + .card { margin-top: 1rem; }
  p, svg, tr { break-inside: avoid; }
  h2, h3, caption, thead, svg, h2 + p { break-after: avoid; }
  svg { max-width: 24rem; }
}
"""

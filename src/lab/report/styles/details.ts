/** The cells' details: the timeline, the tables, the evidence, the scenarios' steps. */
export const DETAILS = `
details > summary { cursor: pointer; border-radius: 8px; }
.item { background: var(--card); border: 1px solid var(--line); border-radius: 10px; margin: .6rem 0; }
.item > summary { display: flex; flex-wrap: wrap; align-items: center; gap: .35rem .75rem; min-height: 2.75rem; padding: .45rem .9rem; list-style: none; }
.item > summary::-webkit-details-marker { display: none; }
.item > summary::before { content: ''; width: .5rem; height: .5rem; border: solid var(--soft); border-width: 0 2px 2px 0; rotate: -45deg; margin: 0 .15rem; flex: none; }
.item[open] > summary::before { rotate: 45deg; }
.item > summary:hover .name { text-decoration: underline; }
.item .name { font-weight: 600; flex: 1 1 12rem; }
.body { padding: .4rem .9rem 1.1rem; border-top: 1px solid var(--line); }
.body h3, .body h4 { margin-top: .7rem; }
.findings { padding: 0; margin: 1rem 0; list-style: none; display: grid; gap: 1rem; }
.findings h3 { margin-top: 0; }
.findings p, .findings ul { max-width: 90ch; }
.sub { margin: .5rem 0; }
.sub > summary { padding: .35rem 0; color: var(--link); width: fit-content; max-width: 100%; }
.timeline { margin: 1rem 0; }
.key { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; font-size: .8rem; color: var(--soft); margin-bottom: .6rem; }
.key .k::before { content: ''; display: inline-block; width: 14px; margin-right: .4em; background: var(--mark); }
.k.right, path.right { --mark: var(--kept-mark); }
.k.error, path.error { --mark: var(--broken-mark); }
.k.wrong, path.wrong { --mark: var(--wrong-mark); }
.k.stall, path.stall { --mark: var(--waited-mark); }
.k.up, path.up { --mark: var(--up); }
.k.log, path.log { --mark: var(--strong); }
.k.right::before { height: 8px; } .k.error::before { height: 14px; vertical-align: -2px; } .k.stall::before { height: 3px; vertical-align: 3px; }
.key .k.wrong::before { height: 14px; vertical-align: -2px; background: linear-gradient(var(--mark) 5px, #0000 5px 9px, var(--mark) 9px); }
.k.up::before { height: 7px; } .key .k.log::before { height: 4px; width: 3px; }
.lane { display: grid; grid-template-columns: 1fr auto; gap: 0 .6rem; font-size: .8rem; line-height: 1.3; margin-top: .35rem; }
.lane .bar { grid-column: 1 / -1; grid-row: 2; }
.lane .note { color: var(--soft); text-align: right; max-width: 48vw; }
.bar { width: 100%; height: 24px; overflow: visible; display: block; background: var(--sunk); border-radius: 3px; }
.axis .bar { height: 52px; background: none; }
.bar text { font: .72rem system-ui, 'DejaVu Sans', sans-serif; fill: var(--soft); font-variant-numeric: tabular-nums; }
.bar text.bad { fill: var(--broken-ink); font-weight: 600; } .bar text.good { fill: var(--kept-ink); font-weight: 600; }
.bar path { fill: var(--mark); }
rect.after { fill: var(--after); }
line { stroke-width: 1.5; }
line.tick { stroke: var(--line); stroke-width: 1; }
line.bad { stroke: var(--broken-mark); } line.good { stroke: var(--kept-mark); stroke-dasharray: 4 3; }
.sign { overflow: visible; fill: none; stroke: currentColor; stroke-width: 3; stroke-linecap: round; stroke-linejoin: round; color: var(--ink); }
.sign.failure { color: var(--broken-mark); } .sign.mended { color: var(--kept-mark); }
@media (min-width: 60rem), print {
  .lane { grid-template-columns: 14rem 1fr 13rem; align-items: center; margin: 0; }
  .lane .bar { grid-column: 2; grid-row: 1; border-radius: 0; }
  .lane .note { text-align: left; max-width: none; }
  .lane { border-bottom: 1px solid var(--line); padding: 1px 0; }
}
table.plain, .consumers { border-collapse: collapse; width: 100%; font-size: .85rem; line-height: 1.4; }
.plain th, .plain td, .consumers th, .consumers td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid var(--line); }
.plain thead th, .consumers thead th { color: var(--soft); font-weight: 600; }
.plain td { font-variant-numeric: tabular-nums; }
.plain td:nth-child(-n+2) { white-space: nowrap; }
.logs td:nth-child(2) { white-space: normal; min-width: 7rem; }
.logs td:nth-child(3) { min-width: 14rem; white-space: pre-wrap; font-family: var(--mono); font-size: .75rem; }
.logs .late tr:first-child > * { color: var(--broken-ink); border-top: 2px solid var(--broken-mark); }
.scroll { overflow-x: auto; max-height: 26rem; overflow-y: auto; background: var(--card); }
.scroll thead th { position: sticky; top: 0; background: var(--card); }
.consumers th { min-width: 9rem; }
.consumers td:last-child { min-width: 16rem; }
.lines { list-style: none; margin: 0 0 .75rem; padding: .65rem .8rem; background: var(--sunk); border-radius: 6px; line-height: 1.5; }
.lines li { white-space: pre-wrap; padding-left: 1em; text-indent: -1em; }
.gone .lines { border-left: 4px solid var(--broken-mark); } .new .lines { border-left: 4px solid var(--kept-mark); }
.steps { list-style: none; padding: 0; margin: 1rem 0; border-left: 2px solid var(--line); }
.steps > li { position: relative; padding: 0 0 1rem 1.2rem; }
.steps > li::before { content: ''; position: absolute; left: -6px; top: .45em; width: 10px; height: 10px; border-radius: 50%; background: var(--strong); }
.steps > li.bad::before { background: var(--broken-mark); }
.steps .when { color: var(--soft); font-size: .8rem; font-variant-numeric: tabular-nums; }
.steps p { margin: 0 0 .25rem; }
@media screen and (max-width: 59.99rem) {
  .consumers td:nth-child(3)::before { content: 'Reads: '; } .consumers td:nth-child(4)::before { content: 'Longest read: '; }
  .consumers td:nth-child(5)::before { content: 'Right again after: '; } .consumers td:nth-child(6)::before { content: 'Open descriptor: '; }
  .consumers td:nth-child(7)::before { content: 'The model says '; }
  .consumers td:last-child { min-width: 0; }
}
`

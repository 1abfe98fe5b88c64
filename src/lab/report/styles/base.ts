/** Colours, type and the page's frame. Each text colour has a contrast of at least 4.5 to 1 on each ground that it stands on. */
export const BASE = `
:root {
  color-scheme: light dark;
  --page: #fbfbfa; --card: #fff; --sunk: #f1f2f2; --ink: #1a1e23; --soft: #545c66; --line: #d7dadd; --strong: #8b939c;
  --link: #0a56a5; --focus: #0a56a5;
  --kept: #e0f3e4; --kept-ink: #12492a; --kept-mark: #23874b;
  --waited: #dcf0f7; --waited-ink: #0b4358; --waited-mark: #1b83a8;
  --recovered: #fbeeca; --recovered-ink: #5c3d00; --recovered-mark: #b57900;
  --broken: #fce2df; --broken-ink: #861b12; --broken-mark: #cd3a2c;
  --wrong: #f0e2f8; --wrong-ink: #591a7b; --wrong-mark: #8b3fb4;
  --unknown: #e9ebed; --unknown-ink: #474e57; --unknown-mark: #7b838c;
  --up: #9aa5b1; --after: #cd3a2c12; --shadow: 0 1px 2px #0000000f, 0 4px 16px #0000000a;
  --mono: ui-monospace, 'SF Mono', 'Cascadia Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #121518; --card: #1a1e22; --sunk: #22272c; --ink: #e8eaed; --soft: #a9b1ba; --line: #343b42; --strong: #6d7680;
    --link: #86bcf5; --focus: #9ccaff;
    --kept: #16331f; --kept-ink: #a8e6bd; --kept-mark: #47b873;
    --waited: #113240; --waited-ink: #a5def2; --waited-mark: #3ba9d0;
    --recovered: #3a2c0a; --recovered-ink: #f5d48a; --recovered-mark: #d79b21;
    --broken: #421a17; --broken-ink: #ffb9b1; --broken-mark: #e8604f;
    --wrong: #351a45; --wrong-ink: #e2b9fa; --wrong-mark: #b26bdc;
    --unknown: #2a3036; --unknown-ink: #c3cad1; --unknown-mark: #848d97;
    --up: #5d6874; --after: #e8604f1c; --shadow: none;
  }
}
*, ::before, ::after { box-sizing: border-box; }
html { scroll-padding-top: 1rem; -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif; overflow-wrap: anywhere; }
.frame { max-width: 84rem; margin: 0 auto; padding: 0 1rem; }
@media (min-width: 60rem) { .frame { padding: 0 2rem; } }
h1, h2, h3, h4, h5 { line-height: 1.2; margin: 0 0 .5rem; text-wrap: balance; letter-spacing: -.01em; }
h1 { font-size: clamp(1.6rem, 1.2rem + 1.9vw, 2.25rem); max-width: 40ch; }
h2 { font-size: 1.45rem; margin-top: 3.5rem; }
h3 { font-size: 1.15rem; margin-top: 2.25rem; }
h4 { font-size: 1.05rem; }
h5 { font-size: .95rem; margin-top: 1.75rem; }
p, ul, ol, dl { margin: 0 0 .75rem; }
.measure { max-width: 72ch; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; border-radius: 3px; }
code, pre, .mono { font-family: var(--mono); font-size: .85em; }
pre { margin: 0; padding: .65rem .8rem; background: var(--sunk); border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.5; tab-size: 4; }
.soft { color: var(--soft); }
.small { font-size: .875rem; }
.unseen:not(:focus) { position: absolute; width: 1px; height: 1px; margin: -1px; padding: 0; overflow: hidden; clip-path: inset(50%); white-space: nowrap; border: 0; }
.skip { position: absolute; left: .5rem; top: -4rem; z-index: 9; padding: .6rem 1rem; background: var(--card); border: 2px solid var(--focus); border-radius: 6px; }
.skip:focus { top: .5rem; }
.icon { width: 1.05em; height: 1.05em; flex: none; vertical-align: -.15em; fill: none; stroke: currentColor; stroke-width: 2.4; stroke-linecap: round; stroke-linejoin: round; }
.sprite { position: absolute; width: 0; height: 0; }
header.top { padding-top: 2rem; }
.kicker { font-size: .8rem; font-weight: 600; letter-spacing: .06em; text-transform: uppercase; color: var(--soft); margin-bottom: .75rem; }
.lead { font-size: 1.15rem; max-width: 66ch; }
.facts { display: flex; flex-wrap: wrap; gap: .3rem 1.6rem; font-size: .875rem; color: var(--soft); margin: 0; }
.facts div { display: flex; gap: .4em; }
.facts dt { white-space: nowrap; }
.facts dt::after { content: ':'; }
.facts dd { margin: 0; color: var(--ink); }
.minute { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); margin-top: 1.75rem; }
@media (min-width: 64rem) { .minute { grid-template-columns: 1fr 1fr 1.25fr; } }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.1rem 1.25rem; box-shadow: var(--shadow); }
.card h2 { font-size: 1.05rem; margin: 0 0 .4rem; }
.card > :last-child { margin-bottom: 0; }
.card.do { border: 2px solid var(--kept-mark); }
.card ul { padding-left: 1.1rem; }
.chain { display: grid; grid-template-columns: 1fr auto 1fr auto 1fr; align-items: center; gap: .3rem .4rem; margin: .9rem 0; padding: 0; list-style: none; font-size: .8rem; text-align: center; }
.chain .box { border: 1.5px solid var(--strong); border-radius: 8px; padding: .4rem .25rem; line-height: 1.3; }
.chain .gone { border: 1.5px dashed var(--broken-mark); color: var(--broken-ink); background: var(--broken); }
.chain .box { overflow-wrap: normal; }
.chain b { display: block; }
.button { font: inherit; font-size: .9rem; color: var(--link); background: var(--card); border: 1px solid var(--strong); border-radius: 8px; padding: .45rem .9rem; cursor: pointer; min-height: 2.75rem; }
select.button { color: var(--ink); max-width: 100%; }
.tools { display: flex; flex-wrap: wrap; gap: .6rem 1rem; align-items: center; margin: 1rem 0; }
[hidden] { display: none !important; }
footer { margin: 4rem 0 2rem; padding-top: 1rem; border-top: 1px solid var(--line); font-size: .875rem; color: var(--soft); }
.words dt { font-weight: 600; margin-top: .8rem; }
.words dd { margin: 0; max-width: 80ch; }
.kept { --tint: var(--kept); --tint-ink: var(--kept-ink); --mark: var(--kept-mark); }
.waited { --tint: var(--waited); --tint-ink: var(--waited-ink); --mark: var(--waited-mark); }
.recovered { --tint: var(--recovered); --tint-ink: var(--recovered-ink); --mark: var(--recovered-mark); }
.broken { --tint: var(--broken); --tint-ink: var(--broken-ink); --mark: var(--broken-mark); }
.wrong, .lost { --tint: var(--wrong); --tint-ink: var(--wrong-ink); --mark: var(--wrong-mark); }
.undecided, .unknown { --tint: var(--unknown); --tint-ink: var(--unknown-ink); --mark: var(--unknown-mark); }
.chip { display: inline-flex; gap: .4em; align-items: center; padding: .1rem .55rem; border-radius: 999px; background: var(--tint); color: var(--tint-ink); font-size: .85rem; line-height: 1.45; text-align: left; }
.badge { display: inline-block; padding: 0 .4rem; border: 1px solid currentColor; border-radius: 4px; font-size: .75rem; font-weight: 600; line-height: 1.4; }
@media screen and (max-width: 59.99rem) {
  table.cards, table.cards tbody, table.cards tr, table.cards th, table.cards td, table.cards caption { display: block; min-width: 0; }
  table.cards thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table.cards tr { border: 1px solid var(--line); border-radius: 8px; padding: .5rem .75rem; margin-bottom: .6rem; }
  table.cards th, table.cards td { border: 0; padding: .15rem 0; }
  table.cards td::before { color: var(--soft); }
}
`

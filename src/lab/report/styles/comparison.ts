/** Two runs side by side: a table where there is room, a card for each line where there is not. */
export const COMPARISON = `
.changes { border-collapse: collapse; width: 100%; font-size: .875rem; line-height: 1.4; background: var(--card); }
.changes th, .changes td { text-align: left; vertical-align: top; padding: .45rem .6rem; border-bottom: 1px solid var(--line); }
.changes thead th { color: var(--soft); font-weight: 600; }
.changes td { font-variant-numeric: tabular-nums; }
.changes th small { display: block; font-size: .8rem; font-weight: 400; color: var(--soft); }
.sides { display: grid; gap: 1rem; margin: 1.5rem 0; }
.sides h2 { overflow-wrap: anywhere; }
@media (min-width: 60rem) {
  .sides { grid-template-columns: 1fr 1fr; }
  .changes { table-layout: fixed; }
  .changes thead th { width: 15%; } .changes thead th:first-child { width: 34%; } .changes thead th:nth-child(n+5) { width: 10.5%; }
}
@media screen and (max-width: 59.99rem) {
  .changes td:nth-child(2)::before { content: 'A: '; } .changes td:nth-child(3)::before { content: 'B: '; }
  .changes td:nth-child(4)::before { content: 'Errors: '; } .changes td:nth-child(5)::before { content: 'Longest read: '; }
  .changes td:nth-child(6)::before { content: 'Right again after: '; }
}
`

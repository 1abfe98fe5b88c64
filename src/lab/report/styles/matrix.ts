/** The matrix: a table where there is room, a card for each failure where there is not. */
export const MATRIX = `
.legend { display: flex; flex-wrap: wrap; gap: .5rem .6rem; padding: 0; margin: 0 0 1rem; list-style: none; font-size: .875rem; }
.region { position: relative; overflow-x: auto; margin: 0 -.25rem; padding: .25rem; }
.matrix { border-collapse: separate; border-spacing: 3px; width: 100%; min-width: 40rem; table-layout: fixed; font-size: .8125rem; line-height: 1.3; }
.matrix.many { min-width: 64rem; }
.matrix th { font-weight: 600; text-align: left; vertical-align: bottom; padding: .35rem .3rem; background: var(--page); }
.matrix thead th:first-child, .matrix tbody th { position: sticky; left: -.25rem; z-index: 1; width: 9.75rem; }
.matrix tbody th { vertical-align: middle; }
.matrix thead th { font-size: .75rem; overflow-wrap: break-word; }
.matrix th.best { box-shadow: inset 0 -3px var(--kept-mark); }
.matrix td { padding: 0; height: 1px; }
.matrix .score td, .matrix .score th { border-bottom: 1px solid var(--line); padding-bottom: .5rem; }
.score .sum { display: block; padding: .3rem .4rem; font-weight: 600; }
.score .meter { display: block; width: 100%; height: 6px; border-radius: 3px; background: var(--unknown); margin-top: .3rem; }
.score .meter rect { fill: var(--kept-mark); }
.cell { display: grid; grid-template-columns: auto 1fr; gap: .15rem .4rem; align-content: center; height: 100%; min-height: 3.6rem; padding: .4rem .5rem; border-radius: 7px; background: var(--tint); color: var(--tint-ink); text-decoration: none; }
a.cell:hover { box-shadow: inset 0 0 0 2px var(--mark); }
a.cell:hover .words { text-decoration: underline; }
.cell .icon { margin-top: .08em; }
.cell .words { grid-column: 1 / -1; }
.cell .number { font-weight: 600; white-space: nowrap; }
.cell .number[hidden] + .words { grid-column: 2; }
.cell .under { grid-column: 1 / -1; display: flex; flex-wrap: wrap; gap: .3rem; align-items: center; }
.cell.none { grid-template-columns: 1fr; text-align: center; }
.cell.none .icon { display: none; }
.cell.none { background: none; border: 1px dashed var(--line); color: var(--soft); --mark: var(--strong); }
.strip { display: flex; flex-wrap: wrap; gap: 2px; }
.strip i { width: 8px; height: 8px; border-radius: 2px; background: var(--mark); }
.strip i.broken { border-radius: 50%; }
.strip i.wrong { rotate: 45deg; border-radius: 0; scale: .85; }
.strip i.lost { border-radius: 0; }
.strip i.undecided { border-radius: 50%; scale: .6; }
.strip i.recovered { border-radius: 2px 2px 50% 50%; }
.strip i.dim { opacity: .25; }
.strip i.absent { background: none; border: 1px solid var(--strong); }
.for { display: none; }
@media (min-width: 76rem) {
  .region.fits { overflow: visible; }
  .region.fits thead th { position: sticky; top: 0; z-index: 2; box-shadow: 0 4px 0 -3px var(--line); }
  .region.fits thead th.best { box-shadow: inset 0 -3px var(--kept-mark); }
}
@media screen and (max-width: 47.99rem) {
  .matrix, .matrix.many, .matrix tbody, .matrix tr, .matrix th, .matrix td { display: block; min-width: 0; width: auto; height: auto; }
  .matrix thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .region { overflow: visible; }
  .matrix tr { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: .75rem; margin-bottom: 1rem; }
  .matrix tbody th { position: sticky; top: 0; left: 0; width: auto; z-index: 2; background: var(--card); font-size: 1rem; padding: .35rem 0 .6rem; }
  .matrix td { margin-top: 4px; }
  .for { display: block; grid-column: 2; font-weight: 600; }
  .cell { min-height: 2.75rem; grid-template-columns: auto auto 1fr; gap: 0 .35rem; font-size: .875rem; }
  .cell > .icon { grid-row: 1 / span 3; align-self: center; width: 1.3em; height: 1.3em; margin-right: .3rem; }
  .cell .for, .cell .under { grid-column: 2 / -1; }
  .cell .number { grid-column: 2; font-weight: 400; }
  .cell .words, .cell .number[hidden] + .words { grid-column: auto / -1; }
  .cell.none { grid-template-columns: 1fr auto; min-height: 1.75rem; padding: 0 .5rem 0 2.2rem; text-align: left; border: 0; font-size: .8125rem; }
  .cell.none .for { grid-column: 1; font-weight: 400; }
  .cell.none .words { grid-column: 2; }
  .score .sum { display: grid; grid-template-columns: 1fr auto; gap: .1rem .75rem; font-weight: 400; }
  .score .for { grid-column: 1; }
  .score .meter { grid-column: 1 / -1; margin: 0; }
  .matrix .score td, .matrix .score th { border: 0; padding-bottom: 0; }
}
`

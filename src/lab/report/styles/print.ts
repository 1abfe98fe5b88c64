/** Paper: everything that is closed is open, what scrolls is whole, colours stay, the matrix lies across the page. */
export const PRINT = `
@page { size: A4; margin: 14mm; }
@page across { size: A4 landscape; margin: 12mm; }
@media print {
  :root { color-scheme: light; --page: #fff; --card: #fff; --shadow: none; }
  body { font-size: 10pt; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .skip, .tools, .item > summary::before, a[href="#matrix"] { display: none !important; }
  .frame { max-width: none; padding: 0; }
  details::details-content { content-visibility: visible; display: block; block-size: auto; }
  .across { page: across; }
  .region, .scroll { overflow: visible; max-height: none; }
  .matrix, .matrix.many { min-width: 0; font-size: 7pt; }
  .matrix th, .scroll thead th { position: static !important; }
  .matrix thead th:first-child, .matrix tbody th { width: 28mm; }
  .cell { min-height: 0; padding: 2pt 3pt; text-decoration: none; }
  .badge { font-size: 6.5pt; }
  .strip i { width: 4pt; height: 4pt; }
  a { color: inherit; }
  h2, h3, h4, h5, summary { break-after: avoid; }
  .lane, .matrix tr, .plain tr, .consumers tr, .card { break-inside: avoid; }
  .timeline { break-inside: avoid; }
  .lane { grid-template-columns: 40mm 1fr 38mm; font-size: 7.5pt; }
  .minute { grid-template-columns: 1fr 1fr; }
  .minute .do { grid-column: 1 / -1; }
  #cells .item > summary { display: none; }
  .consumers, table.plain, .lines, pre { font-size: 7pt; line-height: 1.25; }
  .logs td:nth-child(3) { font-size: 6.5pt; }
  .plain td, .plain th, .consumers td, .consumers th { padding: 1pt 4pt 1pt 0; }
  .body h4, h5 { margin-top: 6pt; }
  .sub, .timeline, .item { margin: 4pt 0; }
  .lines, pre { padding: 3pt 5pt; }
  .chip { font-size: 7pt; }
  .bar { height: 15pt; }
  .axis .bar { height: 40pt; }
  .consumers th, .consumers td:last-child, .consumers th { min-width: 0; }
  .item { border: 0; border-top: 1px solid var(--line); border-radius: 0; }
  .item > summary, .body { padding-left: 0; padding-right: 0; }
}
`

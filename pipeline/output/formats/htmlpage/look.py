"""How the report looks: one sheet, for light and dark, from 320 pixels on, and on paper."""

from pipeline.output.markup import PALETTE

SHEET = (
    PALETTE
    + """\
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:1rem;background:var(--paper);color:var(--ink);
font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .25rem}h2{font-size:1.35rem;margin:2.5rem 0 .5rem}
h3{font-size:1.1rem;margin:1.75rem 0 .5rem}h4{font-size:1rem;margin:0 0 .25rem}
p{margin:.25rem 0;max-width:60rem}ul,ol{margin:.25rem 0;padding-left:1.4rem}
.dim,.small{color:var(--dim)}.small,td,tbody th,dd{font-size:.9rem}
a{color:var(--low);text-underline-offset:.15em}summary{color:var(--low);cursor:pointer;font-size:.9rem}
a:focus-visible,summary:focus-visible{outline:2px solid var(--low);
outline-offset:2px}
nav ul{display:flex;flex-wrap:wrap;gap:.1rem 1.1rem;list-style:none;padding:0}
code,pre{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.85rem}
pre{margin:.25rem 0;padding:.5rem .75rem;background:var(--card);border-radius:.3rem;white-space:pre-wrap}
dl.facts{display:grid;grid-template-columns:minmax(8rem,auto) 1fr;gap:.1rem 1rem;margin:.5rem 0}
dl.facts dt{color:var(--dim)}dd{margin:0}
dl.numbers{display:grid;grid-template-columns:repeat(auto-fit,minmax(7.5rem,1fr));gap:.5rem;margin:1rem 0}
dl.numbers div{background:var(--card);border-radius:.4rem;padding:.5rem .75rem}
dl.numbers dt{color:var(--dim);font-size:.875rem}
dl.numbers dd{font-size:1.5rem;font-weight:600;font-variant-numeric:tabular-nums}
q{background:var(--card);padding:0 .2rem;font-style:italic}
.note{border-left:.25rem solid var(--high);background:var(--card);padding:.35rem .75rem;margin:.75rem 0}
article{border-top:1px solid var(--line);padding:.75rem 0}
.level{white-space:nowrap;font-weight:700}
.critical{color:var(--critical)}.high{color:var(--high)}.medium{color:var(--medium)}.low{color:var(--low)}
.info{color:var(--info)}.calm{color:var(--calm)}
.level.critical,.level.high{border:1px solid;border-radius:.25rem;padding:0 .35rem}
.first{background:var(--card);border-radius:.4rem;padding:.75rem 1rem;margin:.5rem 0;counter-increment:first}
table{border-collapse:collapse;width:100%;margin:.25rem 0}
caption{text-align:left;color:var(--dim);padding:.25rem 0}
th,td{text-align:left;vertical-align:top;padding:.3rem .5rem;border-bottom:1px solid var(--line);font-weight:400}
thead th{color:var(--dim);font-size:.85rem;font-weight:600;overflow-wrap:normal}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.zero{color:var(--dim)}
svg{display:block;width:100%;max-width:40rem;height:7.5rem;background:var(--card);border-radius:.4rem}
rect.critical{fill:var(--critical)}rect.high{fill:var(--high)}rect.medium{fill:var(--medium)}rect.low{fill:var(--low)}
.key span::before{content:"";display:inline-block;width:.7rem;height:.7rem;background:currentColor;margin-right:.3rem}
.key span{margin-right:1rem}
time,tbody th.host{white-space:nowrap}
table.controls,table.evidence{table-layout:fixed}
.controls th:nth-child(1){width:11%}.controls th:nth-child(2){width:25%}.controls th:nth-child(3){width:16%}
.controls th:nth-child(4){width:9%}.controls th:nth-child(5){width:18%}
.evidence th:nth-child(1){width:19%}.evidence th:nth-child(2){width:8%}.evidence th:nth-child(3){width:8%}
.evidence th:nth-child(4){width:24%}
@media screen and (max-width:44rem){thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,tbody,tr,td,tbody th,.controls th:nth-child(1),.evidence th:nth-child(1){display:block;width:100%}
caption{display:block}
tr{border:1px solid var(--line);border-radius:.4rem;margin:0 0 .6rem;padding:.25rem 0}
td,tbody th{border:0;padding:.15rem .6rem}td.n{text-align:left;white-space:normal}
td[data-label]::before{content:attr(data-label) ": ";color:var(--dim);font-size:.85rem}
dl.facts{grid-template-columns:1fr}}
@media print{html{font-size:8.5pt}
:root{color-scheme:light;--paper:#fff;--card:#f4f5f7;--ink:#16191d;--dim:#545b65;--line:#d4d8de;
--critical:#a3122a;--high:#a04400;--medium:#745500;--low:#1d5b8f;--info:#545b65;--calm:#1c6b3c}
body{max-width:none;padding:0}td,th{padding:.15rem .3rem}pre{padding:.2rem .4rem;
font-size:7.5pt}nav,.skip{display:none}h2,h3,h4{break-after:avoid}
article,.first,tr,svg{break-inside:avoid}.evidence tr{break-inside:auto}thead{display:table-header-group}
a{color:inherit;text-decoration:none}
.host{break-before:page}.host:first-of-type{break-before:auto}
details::details-content{content-visibility:visible;display:block}summary{display:none}
svg rect{print-color-adjust:exact}@page{margin:16mm 14mm}}
.skip{position:absolute;left:-99rem}.skip:focus{left:.5rem;top:.5rem;background:var(--paper);padding:.3rem .6rem}
"""
)

"""How the page looks: one sheet, for light and dark, and from 320 pixels on."""

from pipeline.output.markup import PALETTE, policy

SHEET = (
    PALETTE
    + """\
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:1rem;background:var(--paper);color:var(--ink);
font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.4rem;margin:0 0 .25rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}
p{margin:.25rem 0}.dim{color:var(--dim)}
.note{border-left:.25rem solid var(--high);padding:.25rem .75rem;background:var(--card);margin:.75rem 0}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.5rem;margin:1rem 0}
dl div{background:var(--card);border-radius:.4rem;padding:.5rem .75rem}
dt{color:var(--dim);font-size:.875rem}dd{margin:0;font-size:1.5rem;font-weight:600;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;width:100%}caption{text-align:left;color:var(--dim);padding:.25rem 0}
th,td{text-align:left;vertical-align:top;padding:.35rem .5rem;border-bottom:1px solid var(--line)}
thead th{color:var(--dim);font-size:.875rem;font-weight:600;overflow-wrap:normal}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.zero{color:var(--dim)}
.critical{color:var(--critical);font-weight:700}.high{color:var(--high);font-weight:700}
.medium{color:var(--medium)}.low{color:var(--low)}.info{color:var(--info)}.calm{color:var(--calm)}
.small,details{font-size:.875rem}time{white-space:nowrap}tbody th{min-width:9rem}
nav{display:flex;flex-wrap:wrap;gap:.25rem 1rem}a,summary{color:var(--low)}summary{cursor:pointer}
a:focus-visible,summary:focus-visible{outline:2px solid var(--low);outline-offset:2px}
thead th:first-child{width:30%}
svg{display:block;width:100%;height:5rem;background:var(--card);border-radius:.4rem}
svg rect{fill:var(--bar)}
@media (max-width:44rem){thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,tbody,tr,td,tbody th{display:block;width:100%}caption{display:block}
tr{border:1px solid var(--line);border-radius:.4rem;margin:0 0 .6rem;padding:.25rem 0}
td,tbody th{border:0;padding:.15rem .6rem}td.n{display:inline-block;width:auto;white-space:normal}
td[data-label]::before{content:attr(data-label) ": ";color:var(--dim);font-size:.875rem}}
"""
)

POLICY = f"{policy(SHEET)}; frame-ancestors 'none'"

/** The report page's style sheet: one column on a phone, two on a desk, light and dark, and paper. */
export const reportCss = `
:root{--ink:#1f2933;--soft:#5b6875;--line:#dbe1e7;--page:#f6f7f9;--card:#fff;--accent:#0072b2;--mark:#fff4d6}
@media screen and (prefers-color-scheme:dark){:root{--ink:#e4eaf0;--soft:#9aa7b4;--line:#2d3742;--page:#12171c;
--card:#1a2128;--accent:#5ab4ee;--mark:#3a3115}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:2.5rem 1.25rem 4rem}
header{margin-bottom:2rem}
h1{font-size:clamp(1.6rem,4.5vw,2.3rem);line-height:1.15;margin:0 0 .5rem;letter-spacing:-.015em;text-wrap:balance}
header p{margin:.15rem 0;color:var(--soft);max-width:80ch}
section{margin-top:2.75rem}
h2{font-size:1.25rem;margin:0 0 1rem;padding-bottom:.4rem;border-bottom:1px solid var(--line)}
p{max-width:70ch}
p.note{font-size:.88rem;color:var(--soft);margin:.4rem 0}
dl,dd,figure{margin:0}
.tiles{margin-bottom:1rem;display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:.8rem}
.tiles>div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.8rem 1rem}
.tiles dt{font-size:.82rem;color:var(--soft)}
.tiles dd{font-size:1.55rem;font-weight:650;line-height:1.3;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.tiles dd.note{font-size:.8rem;font-weight:400;color:var(--soft)}
.plots,.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,25rem),1fr));gap:1rem}
.plots>figure,.pictures>figure,section>figure{background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:.9rem 1rem;min-width:0}
.plots>figure:only-child{max-width:34rem}
.pictures+figure,figure+.plots,.plots+.pictures,.plots+.table,.pictures+.table{margin-top:1rem}
.plots svg{display:block;width:100%;height:auto}
figcaption{font-size:.88rem;color:var(--soft)}
.plots figcaption{color:var(--ink);font-weight:600;margin-bottom:.4rem}
.pictures>figure>figcaption,section>figure>figcaption{margin-top:.6rem}
.frame{display:grid;grid-template-columns:auto minmax(0,max-content);justify-content:start}
.frame img{display:block;max-width:100%;height:auto;image-rendering:pixelated;border-radius:3px;grid-column:2}
.frame .rows{grid-column:1;grid-row:1;display:flex;flex-direction:column;justify-content:space-around;
padding-right:.5rem;font-size:.78rem;color:var(--soft);justify-self:end}
.frame .rows span{line-height:1}
.frame .columns{grid-column:2;display:flex;width:100%;font-size:.72rem;color:var(--soft);padding-top:.3rem}
.frame .columns span{flex:1;text-align:center;min-width:0;overflow:hidden}
.table{overflow-x:auto;margin-bottom:1rem;background:var(--card);border:1px solid var(--line);border-radius:10px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
caption{caption-side:bottom;text-align:left;font-size:.85rem;color:var(--soft);padding:.6rem 1rem}
th,td{padding:.5rem 1rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap;font-weight:400}
td.prose{text-align:left;white-space:normal}
thead th{font-size:.82rem;color:var(--soft);white-space:normal;vertical-align:bottom}
td small{display:block;font-size:.72rem;color:var(--soft)}
th:first-child{text-align:left}
tbody th{font-weight:600;white-space:normal;min-width:6rem}
tbody tr:last-child>*{border-bottom:0}
caption~tbody tr:last-child>*{border-bottom:1px solid var(--line)}
.facts th{width:1%;font-weight:400;color:var(--soft)}
.facts td{text-align:left;white-space:normal;overflow-wrap:anywhere}
.config{columns:19rem;column-gap:2rem;font-size:.88rem}
.config>div{display:flex;gap:1rem;justify-content:space-between;border-bottom:1px solid var(--line);padding:.25rem .4rem;
break-inside:avoid}
.config dt{color:var(--soft)}
.config dd{text-align:right;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.config small{color:var(--soft);font-weight:400;white-space:nowrap}
.config .changed{background:var(--mark)}
.config .changed dd{font-weight:650}
@media (max-width:40rem){main{padding:1.5rem .8rem 3rem}.tiles{grid-template-columns:1fr 1fr;gap:.6rem}
.tiles>div{padding:.6rem .75rem}.tiles dd{font-size:1.25rem}.plots>figure,.pictures>figure,section>figure{padding:.7rem}
table{font-size:.8rem}th,td{padding:.4rem .22rem}th:first-child,caption{padding-left:.6rem}
tbody th{min-width:4.4rem}thead th{font-size:.7rem}td small{font-size:.58rem}.facts th{white-space:normal;min-width:7rem}.frame .columns{font-size:.6rem}}
@media print{body{background:#fff;font-size:10.5pt}main{max-width:none;padding:0}section{margin-top:1.4rem}
h2{break-after:avoid}figure,.table,.tiles>div{break-inside:avoid}.plots,.pictures{grid-template-columns:1fr 1fr}
.tiles{grid-template-columns:repeat(4,1fr)}.tiles dd{font-size:1.15rem}.table{overflow:visible}
th,td{padding:.25rem .5rem}tr{break-inside:avoid}}
`

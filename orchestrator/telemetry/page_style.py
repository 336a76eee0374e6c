"""Look and behaviour of the report's page: one style sheet and a few lines of script, nothing from elsewhere."""

from __future__ import annotations

_COLOURS = """
:root{color-scheme:light dark;
--page:#f4f5f8;--card:#fff;--ink:#161b24;--soft:#5c6675;--rule:#e1e5ec;--hover:rgba(40,60,100,.07);
--loss:#2f6fde;--held:#d9622b;--speed:#0f8f83;--boundary:#2f6fde;--averaging:#e0a526;--control:#98a2b3;
--good:#17803d;--bad:#cf2f3b;--note:#6a5acd;--goodbg:#e3f4e8;--badbg:#fce8ea;--notebg:#eceafc;
--c0:#2f6fde;--c1:#0f9488;--c2:#d9822b;--c3:#8a4fd0;--c4:#5c9a1e;--c5:#d2427b;--c6:#2796c8;--c7:#9a7b4f}
@media(prefers-color-scheme:dark){:root{
--page:#0d1015;--card:#161b23;--ink:#e8ecf2;--soft:#95a1b2;--rule:#28303c;--hover:rgba(170,195,255,.09);
--loss:#6ea3ff;--held:#ff9564;--speed:#3fc7b8;--boundary:#6ea3ff;--averaging:#f0c04f;--control:#6d7888;
--good:#4fcb7a;--bad:#ff6f79;--note:#a99cff;--goodbg:#12301d;--badbg:#3a171b;--notebg:#24204a;
--c0:#6ea3ff;--c1:#35c2b4;--c2:#f2a65a;--c3:#b98bf2;--c4:#95d04f;--c5:#f57fae;--c6:#5cc3ef;--c7:#cdaa78}}
"""

_STAGES = "".join(f".s{i}{{--stage:var(--c{i})}}" for i in range(8))

_PAGE = """
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1240px;margin:0 auto;padding:32px 24px 56px}
header{display:flex;flex-wrap:wrap;align-items:center;gap:6px 16px;margin-bottom:20px}
header svg{width:40px;height:40px;flex:none}
h1{font-size:24px;line-height:1.2;margin:0;letter-spacing:-.01em;overflow-wrap:anywhere}
header .sub{color:var(--soft);font-size:13.5px}header .title{flex:1 1 300px;min-width:0}
.chip{font-weight:600;font-size:13px;padding:4px 13px;border-radius:99px}
.chip.good{color:var(--good);background:var(--goodbg)}.chip.bad{color:var(--bad);background:var(--badbg)}
.chip.note{color:var(--note);background:var(--notebg)}
.failure{border-left:4px solid var(--bad);background:var(--badbg);padding:10px 16px;border-radius:6px;margin:0 0 16px;
overflow-wrap:anywhere}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(168px,1fr));gap:12px;margin-bottom:16px}
.tile,section{background:var(--card);border:1px solid var(--rule);border-radius:12px}
.tile{padding:13px 16px}.tile .label{color:var(--soft);font-size:12.5px}
.tile .value{font-size:24px;font-weight:650;letter-spacing:-.02em;line-height:1.25;font-variant-numeric:tabular-nums}
.tile .value small{font-size:13px;font-weight:500;color:var(--soft);letter-spacing:0;margin-left:5px}
.tile .value{white-space:nowrap}.tile .more{color:var(--soft);font-size:12.5px}
.pair{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:16px}
section{padding:16px 20px;margin-bottom:16px;min-width:0}
h2{font-size:15px;margin:0 0 2px}.hint{color:var(--soft);font-size:12.5px;margin:0 0 10px}
.empty{color:var(--soft);padding:26px 0;text-align:center;margin:0}
.scroll{overflow-x:auto}svg{display:block;width:100%;height:auto;margin:0 auto}
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:12.5px;color:var(--soft);margin:0 0 8px}
.legend i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px;vertical-align:-1px;
background:var(--mark)}
"""

_CHARTS = """
.loss{--mark:var(--loss)}.held{--mark:var(--held)}.speed{--mark:var(--speed)}
.boundary-bytes{--mark:var(--boundary)}.averaging-bytes{--mark:var(--averaging)}.control-bytes{--mark:var(--control)}
.tick{fill:var(--soft);font-size:11.5px;font-variant-numeric:tabular-nums}.mid{text-anchor:middle}.end{text-anchor:end}
.grid{stroke:var(--rule);stroke-width:1}
.curve{fill:none;stroke:var(--mark);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.curve.thin{stroke-width:1.2;opacity:.55;stroke-dasharray:4 3}
.curve.faint{stroke-width:1;opacity:.35}
.dot{fill:var(--mark);stroke:var(--card);stroke-width:1.5}.fill{fill:var(--mark)}
.band{fill:transparent}.band:hover,g:hover>.band{fill:var(--hover)}
.node .box{fill:var(--card);stroke:var(--stage);stroke-width:1.4}.node .mark{fill:var(--stage)}
.node:hover .box{fill:var(--hover)}.node.dead{opacity:.5}.node.dead .box,.node.joining .box{stroke-dasharray:4 3}
.name{fill:var(--ink);font-size:12.5px;font-weight:600}.stage-name{fill:var(--ink);font-size:13px;font-weight:650}
.boundary path{fill:none;stroke:var(--boundary);stroke-width:1.4;opacity:.38}.boundary:hover path{opacity:.9}
.pill{fill:var(--card);stroke:var(--rule);stroke-width:1.2}.pill-text{fill:var(--ink);font-size:11.5px;font-weight:600}
.averaging{stroke:var(--averaging);stroke-width:1.8;stroke-dasharray:3 2.5}
"""

_LISTS = """
.lane{display:grid;grid-template-columns:170px minmax(0,1fr);gap:12px;align-items:center;min-height:24px}
.who{font-size:12.5px;display:flex;justify-content:space-between;gap:8px;white-space:nowrap;min-width:0}
.who b{font-weight:600;overflow:hidden;text-overflow:ellipsis}.who span{color:var(--soft)}
.track{position:relative;height:16px;background:var(--page);border-radius:4px}
.bar{position:absolute;top:3px;bottom:3px;border-radius:3px;background:var(--stage)}
.bar.joining{opacity:.4}.bar.dead{background:none;border-top:2px dotted var(--soft);top:7px;bottom:auto;border-radius:0}
.event{position:absolute;top:0;transform:translateX(-50%);font-style:normal;font-size:9.5px;line-height:16px;width:16px;
text-align:center;border-radius:8px;background:var(--card);box-shadow:inset 0 0 0 1px var(--rule);cursor:default}
.event.good{color:var(--good)}.event.bad{color:var(--bad);font-weight:700}.event.note{color:var(--note)}
.dense .lane{min-height:17px}.dense .track{height:13px}.dense .who{font-size:11px;line-height:1.2}
.dense .event{line-height:13px;width:13px;font-size:8px}
.axis .scale{position:relative;height:18px;font-size:11.5px;color:var(--soft);white-space:nowrap}
.scale span{position:absolute;transform:translateX(-50%)}.scale span:first-child{transform:none}
.scale span:last-child{transform:translateX(-100%)}
.tally{display:grid;grid-template-columns:130px minmax(0,1fr) 84px;gap:10px;align-items:center;font-size:12.5px;
min-height:22px}
.tally .full{height:12px;border-radius:3px;background:var(--stage);min-width:2px}
.tally b{font-weight:600;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.tally span{color:var(--soft);font-variant-numeric:tabular-nums;text-align:right;white-space:nowrap}
.tallies{max-height:264px;overflow-y:auto}
table{border-collapse:collapse;width:100%;min-width:520px;font-size:13px}.rows{max-height:420px;overflow:auto}
th{text-align:left;color:var(--soft);font-weight:500;position:sticky;top:0;background:var(--card)}
td,th{padding:5px 14px 5px 0;border-bottom:1px solid var(--rule);vertical-align:top;overflow-wrap:anywhere}
td:first-child{white-space:nowrap;font-variant-numeric:tabular-nums;color:var(--soft)}
td .good{color:var(--good)}td .bad{color:var(--bad)}td .note{color:var(--note)}
details{border-top:1px solid var(--rule);padding:9px 0}details:first-of-type{border-top:0}
summary{cursor:pointer;font-weight:600;font-size:14px}
pre{overflow-x:auto;font:12.5px/1.55 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;margin:8px 0 4px}
#tip{position:fixed;z-index:9;pointer-events:none;white-space:pre-line;max-width:320px;background:var(--ink);
color:var(--page);font-size:12.5px;line-height:1.45;padding:6px 10px;border-radius:7px;overflow-wrap:anywhere;
font-variant-numeric:tabular-nums;box-shadow:0 4px 16px rgba(0,0,0,.25)}
#tip::first-line{font-weight:650}
footer{color:var(--soft);font-size:12.5px;text-align:center;padding-top:8px}
@media(max-width:760px){main{padding:18px 12px 32px}.pair{grid-template-columns:minmax(0,1fr);gap:0}
section{padding:14px}.tiles{grid-template-columns:repeat(2,minmax(0,1fr));gap:8px}.tile{padding:11px 12px}
.tile .value{font-size:21px}.chart .tick{font-size:15px}.unit{display:none}
.lane{grid-template-columns:96px minmax(0,1fr);gap:8px}
.lane .who span{display:none}.tally{grid-template-columns:90px minmax(0,1fr) 74px}
.scale span:nth-child(2),.scale span:nth-child(4){display:none}}
@media print{body{background:#fff}section,.tile{break-inside:avoid}.tallies,.rows{max-height:none}}
"""

STYLE = _COLOURS + _STAGES + _PAGE + _CHARTS + _LISTS

SCRIPT = """
// Without this script the browser's own tooltips show the same text, only later and plainer.
const tip=document.createElement('div');tip.id='tip';tip.hidden=true;document.body.append(tip);
const texts=new WeakMap();
document.querySelectorAll('svg title').forEach(t=>{texts.set(t.parentNode,t.textContent);t.remove()});
document.querySelectorAll('[title]').forEach(e=>{texts.set(e,e.title);e.removeAttribute('title')});
document.addEventListener('pointermove',event=>{
let e=event.target;while(e&&!texts.has(e))e=e.parentNode;
tip.hidden=!e;if(!e)return;
tip.textContent=texts.get(e);
const r=tip.getBoundingClientRect(),x=event.clientX+14,y=event.clientY+16;
tip.style.left=Math.max(4,Math.min(x,innerWidth-r.width-6))+'px';
tip.style.top=(y+r.height>innerHeight?event.clientY-r.height-10:y)+'px'});
document.addEventListener('scroll',()=>{tip.hidden=true},true);
"""

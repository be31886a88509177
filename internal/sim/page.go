package sim

// The parts of the page that WriteHTML writes which do not change. What can be shown and hidden is done by style sheets alone.

const pageHead = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>eos-pipe sim: seed %d, %s</title>
<style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 16px; color: #1d2733; background: #fff; }
h1 { font-size: 19px; margin: 0 0 4px; }
p { margin: 2px 0; max-width: 1100px; overflow-wrap: anywhere; }
.note { color: #667; } .finding { color: #b3261e; font-weight: 600; } .kept { color: #1b7f3b; font-weight: 600; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 10px 0; padding: 8px 12px; background: #f4f6f9; border-radius: 6px; max-width: 1100px; }
.legend i { display: inline-block; width: 22px; height: 0; border-top: 3px solid; vertical-align: middle; margin-right: 6px; }
.legend label { cursor: pointer; }
.heads { position: sticky; top: 0; height: 26px; background: #fffd; border-bottom: 1px solid #ccd; z-index: 1; }
.heads b { position: absolute; width: 118px; text-align: center; font-size: 11px; letter-spacing: -.2px; line-height: 26px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
svg { display: block; font: 10px system-ui, sans-serif; }
svg .stripe { fill: #f8f9fb; } svg .lane { stroke: #cfd6e0; stroke-width: 1; } svg .time { fill: #889; text-anchor: end; font-size: 10px; }
svg g line { stroke: #5b7da8; stroke-width: 1.2; } svg g text { fill: #44566c; paint-order: stroke; stroke: #fff; stroke-width: 3px; }
svg g line.reply { stroke-dasharray: 3 3; stroke-width: .8; opacity: .55; }
svg .tip { marker-end: url(#tip); }
svg g.fetch line, svg g.offset-fetch line { stroke: #b7c2cf; }
svg g.end line, svg g.init line { stroke: #1b7f3b; stroke-width: 2; } svg g.end text, svg g.init text { fill: #1b7f3b; font-weight: 600; }
svg g.offset-commit line { stroke: #7a6a10; stroke-width: 1.6; }
svg g.lost line, svg g .cross { stroke: #d93025; } svg g .cross { fill: #d93025; stroke: none; font-size: 13px; font-weight: 700; } svg g.lost text { fill: #d93025; }
svg g.replylost line.reply { stroke: #d93025; opacity: 1; }
svg g.duplicate line { stroke: #e07b00; stroke-width: 2; } svg g.duplicate text { fill: #c26a00; font-weight: 600; }
svg g.fenced line { stroke: #8e24aa; stroke-width: 2.4; } svg g.fenced text { fill: #8e24aa; font-weight: 700; }
svg g.refused line { stroke: #c9a0a0; } svg g.refused text { fill: #a66; }
svg g.marker circle { fill: #1b7f3b; } svg g.marker.abort circle { fill: #999; } svg g.marker text { fill: #1b7f3b; font-size: 9px; } svg g.marker.abort text { fill: #777; }
svg g.said circle { fill: #d93025; } svg g.said text { fill: #b3261e; font-weight: 600; }
svg g:hover line { stroke-width: 3; opacity: 1; } svg g:hover text { font-weight: 700; }
#reads:not(:checked) ~ svg g.fetch, #reads:not(:checked) ~ svg g.offset-fetch { display: none; }
#replies:not(:checked) ~ svg line.reply { display: none; }
#refusals:not(:checked) ~ svg g.refused { display: none; }
#markers:not(:checked) ~ svg g.marker { display: none; }
</style></head><body>
<h1>eos-pipe sim: seed %d, %s</h1>
<p class="note">Up to %d steps with faults, then peace; %s. Time goes down; point at an arrow for the whole request.</p>
`

const pageLegend = `<input type="checkbox" id="reads" checked hidden><input type="checkbox" id="replies" checked hidden><input type="checkbox" id="refusals" checked hidden><input type="checkbox" id="markers" checked hidden>
<div class="legend">
<span><i style="color:#5b7da8"></i>produce</span><span><i style="color:#1b7f3b"></i>init, end of a transaction</span><span><i style="color:#7a6a10"></i>offsets</span>
<span><i style="color:#d93025"></i>✕ lost</span><span><i style="color:#e07b00"></i>duplicate, known to the broker</span><span><i style="color:#8e24aa"></i>zombie, fenced</span>
<span><i style="color:#c9a0a0"></i>refused, to come again</span><span>show or hide: <label for="reads"><u>reads</u></label>, <label for="replies"><u>answers</u></label>,
<label for="refusals"><u>refusals</u></label>, <label for="markers"><u>markers</u></label></span>
</div>
`

const arrowHeads = `<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z" fill="context-stroke"/></marker></defs>
`

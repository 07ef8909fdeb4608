// One module for each panel. If one of them fails, the others go on. Where connections are few, the
// streams of the first panels rest.
const PANELS = ["prices", "legacy", "chat", "compression", "slow", "restart", "room", "silence"];

for (const name of PANELS) await import(`./panels/${name}.js`).catch(reportError);

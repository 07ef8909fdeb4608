// One module for each panel. If one of them fails, the others go on.
for (const name of ["prices", "chat", "room", "restart", "silence", "legacy", "compression", "slow"]) {
  import(`./panels/${name}.js`);
}

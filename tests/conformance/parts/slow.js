export let ready = "not yet";
await null;
ready = "after a job";

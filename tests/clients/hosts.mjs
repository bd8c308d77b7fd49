// The host of each URL on standard input, one a line as JSON, as Node's URL reads it; null for what is no URL.
import { createInterface } from "node:readline";

for await (const line of createInterface({ input: process.stdin })) {
  const url = URL.parse?.(JSON.parse(line)) ?? parse(JSON.parse(line));
  console.log(JSON.stringify(url && { scheme: url.protocol.slice(0, -1), host: url.hostname, port: url.port, user: url.username + url.password }));
}

function parse(text) {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

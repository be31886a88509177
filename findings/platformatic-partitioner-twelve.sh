#!/usr/bin/env bash
# @platformatic/kafka places keys by murmur2, as Java does, and yet elsewhere than Java, unless the number of partitions is a power of two. No broker is needed: the
# partitioners are called.
. "$(dirname "$(readlink -f "$0")")/lib.sh"
(cd "$work" && npm init -y && npm install --no-fund --no-audit @platformatic/kafka@2.12.1 kafkajs@2.2.4) >"$work/npm.log" 2>&1 || { cat "$work/npm.log" >&2; exit 1; }
about "@platformatic/kafka 2.12.1, beside kafkajs 2.2.4, which places keys as Java does" \
  "Both take the same hash. Java drops its sign bit before the division; @platformatic/kafka takes it as a number without sign. The" \
  "two differ by 2^31 for half of the keys, which changes the rest of a division by 12 and not that by 16. A test with 1, 2, 4, 8 or 16" \
  "partitions finds nothing. Its compatibilityPartitioner does as Java does."
cat >"$work/main.mjs" <<'JS'
import { createRequire } from 'node:module'
import { defaultPartitioner, compatibilityPartitioner } from '@platformatic/kafka'
const { Partitioners } = createRequire(import.meta.url)('kafkajs')
const java = Partitioners.DefaultPartitioner()
for (const n of [6, 8, 12, 16, 30]) {
  const partitionMetadata = Array.from({ length: n }, (_, partitionId) => ({ partitionId, leader: 1 }))
  let alike = 0, compatible = 0
  for (let i = 0; i < 500; i++) {
    const key = Buffer.from(`customer-${i}`)
    const want = java({ topic: 't', partitionMetadata, message: { key } })
    alike += defaultPartitioner({ key }, key) % n === want
    compatible += compatibilityPartitioner({ key }, key) % n === want
  }
  console.log(`${alike}/${compatible}`)
}
JS
(cd "$work" && node main.mjs) >"$work/out"
while read -r n want got; do
  seen "of 500 keys on $n partitions, where Java puts them (by default, compatible)" "$want/500" "$got"
done < <(paste -d ' ' <(printf '%s\n' '6 258' '8 500' '12 258' '16 500' '30 258') "$work/out")

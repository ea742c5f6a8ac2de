output "script" {
  description = "A script for the operator's machine (bash), which hands every machine its keys by ssh. It has none in itself."
  value       = local.script
}

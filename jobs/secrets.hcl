# The variable that each job reads, nomad/jobs/<job>, and what is in it. {} is made up, value is known, from is the item of another
# job's variable ("job.key"). What is there stays, but what follows is changed with what it is from.
s3 = {
  access_key = {}
  secret_key = {}
}

patroni = {
  replication_password = {}
  rewind_password      = {}
  rest_password        = {}
  backup_key           = {}
  backup_repository    = { value = "1" }
  s3_access_key        = { from = "s3.access_key", follows = true }
  s3_secret_key        = { from = "s3.secret_key", follows = true }
}

# What reads the members' backups.
backup = {
  backup_key        = { from = "patroni.backup_key", follows = true }
  backup_repository = { from = "patroni.backup_repository", follows = true }
  s3_access_key     = { from = "patroni.s3_access_key", follows = true }
  s3_secret_key     = { from = "patroni.s3_secret_key", follows = true }
}
restore = {
  backup_key        = { from = "patroni.backup_key", follows = true }
  backup_repository = { from = "patroni.backup_repository", follows = true }
  s3_access_key     = { from = "patroni.s3_access_key", follows = true }
  s3_secret_key     = { from = "patroni.s3_secret_key", follows = true }
}

redis = {
  gateway_password = {}
  books_password   = {}
  cluster_password = {}
}

# Two logins of each database, of which one is used: 'db rotate' goes from one to the other.
migrate = {
  exporter_password        = {}
  warehouse_password       = {}
  bookdb_a_password        = {}
  bookdb_b_password        = {}
  orderdb_a_password       = {}
  orderdb_b_password       = {}
  paymentdb_a_password     = {}
  paymentdb_b_password     = {}
  coordinatordb_a_password = {}
  coordinatordb_b_password = {}
}

books = {
  db_user        = { value = "bookdb_a" }
  db_password    = { from = "migrate.bookdb_a_password" }
  cache_password = { from = "redis.books_password" }
}
orders = {
  db_user     = { value = "orderdb_a" }
  db_password = { from = "migrate.orderdb_a_password" }
}
payments = {
  db_user     = { value = "paymentdb_a" }
  db_password = { from = "migrate.paymentdb_a_password" }
}
coordinator = {
  db_user     = { value = "coordinatordb_a" }
  db_password = { from = "migrate.coordinatordb_a_password" }
}
warehouse = {
  db_password = { from = "migrate.warehouse_password" }
}

# What Prometheus and the operator's browser show Alertmanager. Who is told is added to it by 'go tool task alerts'.
alertmanager = {
  password = {}
}
prometheus = {
  alertmanager_password = { from = "alertmanager.password", follows = true }
}

# The API's tokens, the two keys that consistency tokens are signed with, and which of them signs.
gateway = {
  operator_token    = {}
  import_token      = {}
  test_token        = {}
  bench_token       = {}
  consistency_a     = {}
  consistency_b     = {}
  consistency_signs = { value = "a" }
  cache_password    = { from = "redis.gateway_password" }
}

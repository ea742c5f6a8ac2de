package coherence

import (
	"embed"

	goredis "github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var lua embed.FS

// script puts one together from its parts.
func script(parts ...string) *goredis.Script {
	var source []byte
	for _, part := range parts {
		text, err := lua.ReadFile("lua/" + part + ".lua")
		if err != nil {
			panic("coherence: embedded scripts: " + err.Error())
		}
		source = append(source, text...)
	}
	return goredis.NewScript(string(source))
}

var (
	lookupScript = script("incarnation", "book", "lookup")
	storeScript  = script("incarnation", "book", "store")
	raiseScript  = script("incarnation", "book", "raise")

	joinScript    = script("incarnation", "registry", "join")
	renewScript   = script("incarnation", "registry", "renew")
	publishScript = script("incarnation", "registry", "publish")
	revokeScript  = script("incarnation", "registry", "revoke")
	leaveScript   = script("leave")
	confirmScript = script("confirm")
)

// go-files does to files what its configuration says when it is configured, and what the header x-files of a request
// says. It answers requests with what came of both.
//
// The same as rust-files, with Go's standard library: its head has the commands.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

func main() {}

func init() {
	proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &plugin{} })
}

type plugin struct {
	types.DefaultPluginContext
	configured string
	ticked     string
	held       *os.File
	lastTick   string
}

func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	conf, err := proxywasm.GetPluginConfiguration()
	if err != nil && !errors.Is(err, types.ErrorStatusNotFound) {
		proxywasm.LogErrorf("go-files: no configuration: %v", err)
		return types.OnPluginStartStatusFailed
	}
	p.configured = p.run(string(conf))
	return types.OnPluginStartStatusOK
}

func (p *plugin) OnTick() {
	if read := outcome(readFile(p.ticked)); read != p.lastTick {
		proxywasm.LogInfof("ticked: %s", read)
		p.lastTick = read
	}
}

func (p *plugin) NewHttpContext(uint32) types.HttpContext { return &request{plugin: p} }

type request struct {
	types.DefaultHttpContext
	plugin *plugin
}

func (r *request) OnHttpRequestHeaders(int, bool) types.Action {
	asked, _ := proxywasm.GetHttpRequestHeader("x-files")
	body := r.plugin.configured + r.plugin.run(asked)
	if err := proxywasm.SendHttpResponse(200, nil, []byte(body), -1); err != nil {
		proxywasm.LogErrorf("go-files: %v", err)
	}
	return types.ActionPause
}

// run has a line for each command: the command, and what came of it.
func (p *plugin) run(text string) string {
	var lines strings.Builder
	for _, command := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == ';' }) {
		if command = strings.TrimSpace(command); command != "" && !p.tick(command) {
			fmt.Fprintf(&lines, "%s: %s\n", command, p.one(command))
		}
	}
	return lines.String()
}

func (p *plugin) tick(command string) bool {
	rest, isTick := strings.CutPrefix(command, "tick ")
	if !isTick {
		return false
	}
	period, path, _ := strings.Cut(rest, " ")
	milliseconds, err := strconv.ParseUint(period, 10, 32)
	if err == nil {
		err = proxywasm.SetTickPeriodMilliSeconds(uint32(milliseconds))
	}
	if err != nil {
		proxywasm.LogErrorf("go-files: %v", err)
	}
	p.ticked = path
	return true
}

func (p *plugin) one(command string) string {
	name, rest, _ := strings.Cut(command, " ")
	path, text, _ := strings.Cut(rest, " ")
	switch name {
	case "read":
		return outcome(readFile(rest))
	case "size":
		read, err := os.ReadFile(rest)
		return outcome(strconv.Itoa(len(read)), err)
	case "list":
		return outcome(list(rest))
	case "stat":
		info, err := os.Stat(rest)
		if err != nil {
			return outcome("", err)
		}
		if info.IsDir() {
			return "directory"
		}
		return fmt.Sprintf("%d bytes", info.Size())
	case "write":
		return outcome("done", os.WriteFile(path, []byte(text), 0o644))
	case "append":
		return outcome("done", appendTo(path, text))
	case "mkdir":
		return outcome("done", os.Mkdir(rest, 0o755))
	case "rm", "rmdir":
		return outcome("done", os.Remove(rest))
	case "rename":
		return outcome("done", os.Rename(path, text))
	case "hold":
		file, err := os.Open(rest)
		if err == nil {
			p.held = file
		}
		return outcome("done", err)
	case "held":
		return outcome(p.readHeld())
	case "drop":
		if p.held == nil {
			return "nothing"
		}
		err := p.held.Close()
		p.held = nil
		return outcome("done", err)
	case "many":
		return many(rest)
	case "forever":
		for {
			if _, err := os.ReadFile(rest); err != nil {
				return outcome("", err)
			}
		}
	case "last":
		return p.lastTick
	}
	return "no such command"
}

func (p *plugin) readHeld() (string, error) {
	if p.held == nil {
		return "", errors.New("nothing is held")
	}
	var one [1]byte
	size, err := p.held.Read(one[:])
	return string(one[:size]), err
}

func readFile(path string) (string, error) {
	read, err := os.ReadFile(path)
	return string(read), err
}

func list(path string) (string, error) {
	entries, err := os.ReadDir(path)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if len(names) > 20 {
		return fmt.Sprintf("%d names", len(names)), err
	}
	return strings.Join(names, " "), err
}

func appendTo(path, text string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString(text)
	return err
}

func many(path string) string {
	var files []*os.File
	for {
		file, err := os.Open(path)
		if err != nil {
			count := len(files)
			for _, file := range files {
				file.Close()
			}
			return fmt.Sprintf("%d files, then %s", count, outcome("", err))
		}
		files = append(files, file)
	}
}

func outcome(value string, err error) string {
	var number syscall.Errno
	switch {
	case err == nil:
		return value
	case errors.Is(err, fs.ErrNotExist):
		return "not found"
	case errors.Is(err, fs.ErrPermission):
		return "not permitted"
	case errors.Is(err, fs.ErrExist):
		return "exists"
	case errors.As(err, &number):
		return fmt.Sprintf("error %d", uint32(number))
	}
	return err.Error()
}

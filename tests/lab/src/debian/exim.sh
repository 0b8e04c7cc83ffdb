# Starts Debian's exim4 for one test. SLOTS is its `smtp_accept_max`. With AUTH=1,
# it offers AUTH.
fresh server etc/exim4
fresh server var/spool/exim4
fresh server var/log/exim4
# Removes other mail servers that the machine may have.
fresh server etc/courier
rm -f /usr/sbin/postconf

# What the package's scripts do when it is installed.
add_user Debian-exim 64990 /var/spool/exim4
install -d -o Debian-exim -g Debian-exim -m 750 /run/exim4 /var/spool/exim4 /var/spool/exim4/db
install -d -o Debian-exim -g adm -m 2750 /var/log/exim4
# The settings that the package writes for "internet site".
echo here.example >/etc/mailname
cat >/etc/exim4/update-exim4.conf.conf <<END
dc_eximconfig_configtype='internet'
dc_other_hostnames='here.example'
dc_local_interfaces=''
dc_readhost=''
dc_relay_domains=''
dc_minimaldns='false'
dc_relay_nets=''
dc_smarthost=''
CFILEMODE='644'
dc_use_split_config='false'
dc_hide_mailname=''
dc_mailname_in_oh='true'
dc_localdelivery='mail_spool'
END
update-exim4.conf

# What its administrator sets. The text of the rejection is that of the
# configuration that Exim ships.
administrator() {
    cat >/etc/exim4/exim4.conf <<END
primary_hostname = mx.here.example
domainlist local_domains = here.example
log_file_path = syslog
keep_environment =
log_selector = +smtp_connection +incoming_port
tls_advertise_hosts =
smtp_accept_max = $SLOTS
acl_smtp_rcpt = check_rcpt

begin acl
check_rcpt:
  deny message = rejected because \$sender_host_address is in a black list at \$dnslist_domain\n\$dnslist_text
       dnslists = zone.example
  require verify = recipient
  accept domains = +local_domains
  deny message = relay not permitted

begin routers
forward:
  driver = redirect
  domains = here.example
  local_parts = forward : other
  data = \${if eq{\$local_part}{other}{friend2}{friend}}@there.example
there:
  driver = manualroute
  domains = there.example
  route_list = * 100.64.1.1
  transport = remote_smtp
mailbox:
  driver = accept
  domains = +local_domains
  local_parts = postbox
  transport = maildir

begin transports
remote_smtp:
  driver = smtp
maildir:
  driver = appendfile
  directory = /run/postbox/Maildir
  maildir_format
  user = postbox
END
    [ "$AUTH" = 0 ] || cat >>/etc/exim4/exim4.conf <<END

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = false
END
    chmod 640 /etc/exim4/exim4.conf
    chgrp Debian-exim /etc/exim4/exim4.conf
}
[ "$AS_INSTALLED" = 1 ] || administrator

# With `-bd`, Exim would stay in the foreground, because its parent is process 1.
exim4 -bdf &
stand
